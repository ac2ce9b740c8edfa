-- Prepended to the scripts that give out what an execution needs before it is created: a slot among the
-- running ones of its workflow, and an attempt of its session.
local SLOT_GRACE = 1000 -- ms that whoever freed or gave a slot has to act on it, before a sweep does

-- How many executions of a workflow may run, nil = any number, and what becomes of one more.
local function limit(workflow)
  local most, full = string.match(call('HGET', workflow, 'limit') or '', '^(%d+) (%a+)$')
  return tonumber(most), full
end

local function slot_entry(id, epoch, workflow) return 'slot:' .. id .. ':' .. epoch .. ':' .. workflow end

-- Has an entry looked at no earlier than at; every time is another one, so that
-- whoever saw the former one can tell.
local function look_at(due, entry, at)
  local old = call('ZSCORE', due, entry)
  if old and tonumber(old) >= at then at = old + 1 end
  call('ZADD', due, at, entry)
end

-- Somebody waits: has the line of the workflow looked at then, or earlier.
local function fill_at(due, workflow, at)
  local old = call('ZSCORE', due, 'fill:' .. workflow)
  if not old or tonumber(old) > at then call('ZADD', due, at, 'fill:' .. workflow) end
end

-- True when a waiting execution has its slot. Otherwise it has, or gets, a place in the line, and nothing about it is due.
local function wait(slots, waiting, due, id, epoch, workflow, now)
  if tonumber(call('ZSCORE', slots, id) or -1) == tonumber(epoch) then return true end
  if call('ZADD', waiting, 'NX', now, id .. ':' .. epoch) == 1 then fill_at(due, workflow, now + SLOT_GRACE) end
  call('ZREM', due, slot_entry(id, epoch, workflow))
  return false
end
