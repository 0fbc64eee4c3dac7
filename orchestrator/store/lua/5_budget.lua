-- The budget of a task. What an attempt may use is held for it before it starts and settled after it.

local function has_budget(task) return task.b[B.max_tokens] > 0 or task.b[B.max_cost] > 0 end

-- What an attempt may use of one bound: an even share for each step that is ready. 0: no bound; nil: all is held by
-- others, or spent.
local function allot(task, bound, used, held)
  local t, max = task.t, task.b[bound]
  if max == 0 then return 0 end
  local left = max - t[used] - t[held]
  if left <= 0 then return nil end
  return math.ceil(left / math.max(1, t[T.ready]))
end

-- Holds a share for an attempt: tokens and cost, 0 where there is no bound. nil: the step cannot start now; it waits
-- for others to give back what they hold, or its task has ended.
local function hold_budget(task, step)
  if not has_budget(task) then return 0, 0 end
  local t, parked = task.t, get(task, 'parked') or ''
  if string.find(',' .. parked, ',' .. step .. ',', 1, true) then return nil end -- its message came twice
  local tokens = allot(task, B.max_tokens, T.tokens, T.held_tokens)
  local cost = allot(task, B.max_cost, T.cost, T.held_cost)
  t[T.ready] = t[T.ready] - 1
  if tokens and cost then
    local s = edit(task, step)
    t[T.held_tokens], s[S.held_tokens] = t[T.held_tokens] + tokens, tokens
    t[T.held_cost], s[S.held_cost] = t[T.held_cost] + cost, cost
    return tokens, cost
  end
  if t[T.held_tokens] + t[T.held_cost] > 0 then
    set(task, 'parked', parked .. step .. ',')
  else
    fail_task(task, FAILURE.budget, step)
  end
  return nil
end

-- Counts what an attempt used, first against what it holds. True: the task is over its budget.
local function use_budget(task, step, tokens, cost)
  local t, s, b = task.t, edit(task, step), task.b
  t[T.tokens], t[T.cost] = t[T.tokens] + tokens, t[T.cost] + cost
  local held_tokens, held_cost = math.min(tokens, s[S.held_tokens]), math.min(cost, s[S.held_cost])
  t[T.held_tokens], s[S.held_tokens] = t[T.held_tokens] - held_tokens, s[S.held_tokens] - held_tokens
  t[T.held_cost], s[S.held_cost] = t[T.held_cost] - held_cost, s[S.held_cost] - held_cost
  return b[B.max_tokens] > 0 and t[T.tokens] > b[B.max_tokens] or b[B.max_cost] > 0 and t[T.cost] > b[B.max_cost]
end

-- Gives back what an attempt did not use; the steps that waited for it are put into `ready`.
local function settle_budget(task, step, ready)
  if not has_budget(task) then return end
  local t, s = task.t, edit(task, step)
  t[T.held_tokens], s[S.held_tokens] = t[T.held_tokens] - s[S.held_tokens], 0
  t[T.held_cost], s[S.held_cost] = t[T.held_cost] - s[S.held_cost], 0
  for parked in each(get(task, 'parked')) do
    if state_of(task, parked) == STEP.READY then table.insert(ready, parked) end
  end
  drop(task, 'parked')
end
