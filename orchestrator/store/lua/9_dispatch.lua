-- Runs a batch of transitions of one partition. One that fails leaves the others alone. Behind the replies stand the
-- states of the tasks that ended.

local replies = {}
for i = 1, #ARGV do
  local arguments = cmsgpack.unpack(ARGV[i])
  local ok, reply = pcall(operations[arguments.op], arguments)
  replies[i] = ok and reply or { 'error', type(reply) == 'table' and reply.err or tostring(reply) }
end
replies[#ARGV + 1] = endings
return replies
