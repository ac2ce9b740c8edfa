-- Prepended to the scripts that apply the steps of a redrive. A step is a row of JSON, written by Go (workflow.Step):
-- r ref, d reset|pin|skip|touch|give, a attempt and s status that the plan rests on, w size of a loop that it rests on,
-- p 1 when what it waits for is written (n needs that run again, o others), m run|decide, i an item of a for_each that runs,
-- k inside|listed, z iteration of a loop, t tries used, c sub-execution that goes on, q plan of that, y 1 when it may stay as it is, u reason,
-- v 1 when its output follows as the next row, g 1 when its input does.

-- Whether the plan still rests on what is there.
local function as_planned(rec, t)
  if not rec then return t.s == '' end
  return rec.status == t.s and (rec.attempt or '0') == t.a and (not t.w or rec.size == t.w)
end

-- Makes a task pending, whatever it is: its former attempt stays as history, a live one as canceled. Answers its record.
local function renew(K, k, x, id, ref, rec, now, out)
  if not rec then
    x.pending = x.pending + 1
    return {status = 'pending'}
  end
  if rec.ended then
    if call('SREM', k.open, '>' .. ref) == 1 then stir(k, ref, -1) end -- what it was to release is reset, too
    return reset(K, x, ref, rec)
  end
  local live = rec.status == 'queued' or rec.status == 'running' or rec.status == 'waiting'
  stop(k, id, ref, rec, out)
  if live then
    local was = rec.status
    rec.outcome, rec.reason, rec.ended = 'canceled', 'superseded', now .. ''
    call('HSETNX', K[4], ref .. '#' .. rec.attempt, cjson.encode(rec))
    event(k.events, now, 'task.canceled', ref, rec.attempt, nil, 'superseded')
  end
  if rec.status ~= 'pending' then move(x, rec, 'pending') end
  local kept = {status = 'pending', attempt = rec.attempt, given = rec.given}
  call('HSET', k.tasks, ref, cjson.encode(kept))
  return kept
end

-- An item of a for_each that runs takes its turn behind those that have not begun.
local function append(k, ref, fresh)
  local each = outside(ref)
  local next, total, parallel, mode = string.match(call('HGET', k.holders, each .. '#') or '', '^(%d+) (%d+) (%d+) (%S+)$')
  if not next or fresh and next + 0 < total + 0 then return end -- it has not begun, and will
  call('HSET', k.holders, each .. '#' .. total, string.match(ref, '%[([^%[]*)%]$'), each .. '#', next .. ' ' .. total + 1 .. ' ' .. parallel .. ' ' .. mode)
  call('SADD', k.open, '>' .. each)
end

-- What the end of a task means for those that need it: nothing yet (0), they may run (1), or it was skipped (2). A task that
-- many need is read once; seen is emptied of those that a step changes.
local function standing(k, seen, ref)
  local is = seen[ref]
  if not is then
    local rec = record(k.tasks, ref)
    is = rec and (rec.status == 'skipped' and 2 or (rec.status == 'succeeded' or rec.continued) and 1) or 0
    seen[ref] = is
  end
  return is
end

-- Writes what a task waits for, and says whether that is nothing, and whether any of it was skipped.
local function await(k, seen, t)
  local open, set, gone, skipped = 0, {}, {}, false
  for _, need in ipairs(t.n or {}) do
    open = open + 1
    set[#set + 1], set[#set + 2] = t.r .. ' ' .. need, 1
  end
  for _, need in ipairs(t.o or {}) do
    local is = standing(k, seen, need)
    if is > 0 then
      gone[#gone + 1] = t.r .. ' ' .. need
      skipped = skipped or is == 2
    else
      open = open + 1
      set[#set + 1], set[#set + 2] = t.r .. ' ' .. need, 1
    end
  end
  for from = 1, #gone, 1000 do call('HDEL', k.preds, unpack(gone, from, math.min(from + 999, #gone))) end
  if #set + 2 * #gone > 2 then
    for from = 1, #set, 1000 do call('HSET', k.preds, unpack(set, from, math.min(from + 999, #set))) end
    call('HSET', k.preds, '#' .. t.r, open)
  end
  return open == 0, skipped
end

-- Keeps the steps that a sub-execution goes on with when its task begins, for as long as it lives, instead of those that it was
-- to go on with before. They share a shard.
local function entrust(k, child, plan)
  local steps = string.sub(k.decide, 1, -#'decide' - 1) .. 'q:' .. child
  local redrives = string.sub(k.decide, 1, -#'decide' - 1) .. 'r:' .. child
  if call('PERSIST', steps .. ':' .. plan) == 0 then return end
  local former = call('HGET', redrives, 'next')
  if former then call('DEL', steps .. ':' .. former) end
  call('HSET', redrives, 'next', plan)
end

local function restart(K, k, x, id, t, rec, now, out, list, seen)
  local fresh = not rec or rec.status == 'pending' and call('SISMEMBER', k.open, t.r) == 0
  local hash = t.y and rec and rec.hash or nil
  local next = renew(K, k, x, id, t.r, rec, now, out)
  next.keep, next.size, next.try, next.child, next.plan, next.maybe, next.hash = t.k, t.z, t.t, t.c, t.q, hash and '1' or nil, hash
  if t.input == '' then
    next.given = nil
    call('HDEL', K[3], 'w:' .. t.r)
  elseif t.input then
    next.given = '1'
    keep(K[3], 'w:' .. t.r, t.input)
  end
  call('HSET', k.tasks, t.r, cjson.encode(next))
  if t.q then entrust(k, t.c, t.q) end
  if t.i then append(k, t.r, fresh) end
  if not t.p then return end
  local ready, skipped = await(k, seen, t)
  if ready then
    list[#list + 1] = {ref = t.r, mode = (t.m == 'decide' or hash or skipped) and 'decide' or 'run', rec = next}
    stir(k, t.r, 1)
  end
end

-- Ends a task as the redrive says: pinned, skipped, or not a part of it any more.
local function conclude(K, k, x, id, t, rec, now, out)
  local size, control = rec and rec.size, rec and rec.control
  local next = renew(K, k, x, id, t.r, rec, now, out)
  if t.u ~= 'not_inside' then next.size, next.control = size, control end
  if t.d == 'pin' or t.u == 'by_hand' then next.attempt, next.dispatch, next.redrive, next.queued = (next.attempt or 0) + 1 .. '', '1', x.epoch, now .. '' end
  move(x, next, t.d == 'pin' and 'succeeded' or 'skipped')
  next.ended, next.reason = now .. '', t.d == 'pin' and 'pinned' or t.u
  if t.value then keep(K[3], 'o:' .. t.r, t.value) end
  call('HSET', k.tasks, t.r, cjson.encode(next))
  event(k.events, now, 'task.' .. next.status, t.r, next.attempt, nil, next.reason)
end

-- A task goes on that holds others, now that tasks in it were set in motion, or superseded.
local function touch(k, t, rec)
  if not rec or rec.status ~= 'running' then return end
  if t.z then
    rec.size = t.z
    call('HSET', k.tasks, t.r, cjson.encode(rec))
  end
  local next, total, parallel = string.match(call('HGET', k.holders, t.r .. '#') or '', '^(%d+) (%d+) (%d+)')
  if next and next + 0 < total + 0 and (call('HGET', k.holders, t.r) or 0) + 0 < parallel + 0 then call('SADD', k.open, '>' .. t.r) end -- a place may be free
  if rec.timed or rec.hand then return end
  local idle = (call('HGET', k.holders, t.r) or '0') == '0' and call('SISMEMBER', k.open, '>' .. t.r) == 0
  call(idle and 'SADD' or 'SREM', k.open, t.r)
end

-- The next step, with the values that belong to it; row answers row after row (nil = none). Answers how many rows it has, too.
local function step(row)
  local raw = row()
  if not raw then return nil, 0 end
  local t = cjson.decode(raw)
  if t.v then t.value = row() end
  if t.g then t.input = row() end
  return t, 1 + (t.v and 1 or 0) + (t.g and 1 or 0)
end

-- Applies steps. Answers what release does, and ref, attempt, dispatch of the jobs that were out.
local function apply(K, x, id, now, steps)
  local k, out, list, seen = keys(K), {}, {}, {}
  for _, t in ipairs(steps) do
    local rec = record(k.tasks, t.r)
    seen[t.r] = nil
    if t.d == 'reset' then restart(K, k, x, id, t, rec, now, out, list, seen)
    elseif t.d == 'touch' then touch(k, t, rec)
    elseif t.d == 'give' then
      if rec and t.input then
        rec.given = t.input ~= '' and '1' or nil
        if t.input == '' then call('HDEL', K[3], 'w:' .. t.r) else keep(K[3], 'w:' .. t.r, t.input) end
        call('HSET', k.tasks, t.r, cjson.encode(rec))
      end
    else conclude(K, k, x, id, t, rec, now, out) end
  end
  return release(k, x, id, '', list, now), out
end
