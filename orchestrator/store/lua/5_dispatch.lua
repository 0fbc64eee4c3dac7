-- Runs a batch of transitions of one partition. One that fails leaves the others alone.

local replies = {}
for i = 1, #ARGV do
  local arguments = cmsgpack.unpack(ARGV[i])
  local ok, reply = pcall(operations[arguments.op], arguments)
  replies[i] = ok and reply or { 'error', type(reply) == 'table' and reply.err or tostring(reply) }
end
return replies
