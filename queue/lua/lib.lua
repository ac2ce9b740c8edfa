-- Prepended to every script. x is an execution: its status, its epoch and its
-- counts (the revision and one counter per task status); a record is the state
-- of one task as JSON. What is stored as a number is text here, too, because Lua
-- takes longer to print a number than Redis to store it: text compares only with
-- text, so add 0 to compare it with a number.
local call = redis.call
local EVENTS_KEPT = 200000 -- of one execution; later ones are not recorded
local FRESH = '{"status":"pending"}' -- the record of a task that was never reached
local VALUES_LIMIT = 67108864 -- bytes of all values of an execution, as they are stored; the field `bytes` counts them
local RELAY_GRACE = 1500   -- ms that the writer of a job has to relay it before a sweep does

-- Milliseconds since 1970 by Redis' clock, one moment for a whole script; offset is 0 outside tests.
local moment
local function clock(offset)
  if not moment then
    local t = call('TIME')
    moment = t[1] * 1000 + math.floor(t[2] / 1000) + offset
  end
  return moment
end

-- The counts stand in one field, in this order; Go reads them, too.
local COUNTS = '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$'

local function execution(key)
  local v = call('HMGET', key, 'status', 'epoch', 'counts', 'applying')
  if not v[1] then return nil end
  local x = {key = key, status = v[1], epoch = v[2], applying = v[4]}
  x.rev, x.pending, x.queued, x.running, x.retrying, x.waiting, x.succeeded, x.failed, x.timed_out, x.canceled, x.skipped =
    string.match(v[3], COUNTS)
  return x
end

local function going(x) return x.status == 'running' or x.status == 'paused' end

-- Whether what becomes ready is kept aside: nothing starts now.
local function aside(x) return x.status == 'paused' or x.status == 'queued' or x.applying end

local function active(x) return x.queued + x.running + x.retrying + x.waiting end

-- The only place where a task's status changes: the record and the counts together.
local function move(x, rec, to)
  x[rec.status] = x[rec.status] - 1
  x[to] = x[to] + 1
  rec.status = to
end

local function save(x, ...)
  local counts = x.rev + 1 .. ' ' .. x.pending .. ' ' .. x.queued .. ' ' .. x.running .. ' ' .. x.retrying .. ' ' ..
    x.waiting .. ' ' .. x.succeeded .. ' ' .. x.failed .. ' ' .. x.timed_out .. ' ' .. x.canceled .. ' ' .. x.skipped
  call('HSET', x.key, 'counts', counts, ...)
end

-- Marks the execution's list entries as behind. Every mark is another one, so that
-- unmark.lua tells one of the same millisecond from the one that it saw.
local function mark(index, id, now)
  local old = call('ZSCORE', index, id)
  if old and tonumber(old) >= now then now = old + 1 end
  call('ZADD', index, now .. '', id)
end

local function record(tasks, ref)
  local raw = call('HGET', tasks, ref)
  return raw and cjson.decode(raw)
end

-- Keeps a value of users and counts its bytes.
local function keep(values, field, value)
  call('HSET', values, field, value)
  call('HINCRBY', values, 'bytes', #value)
end

-- Keeps why an attempt failed and, where there is room for it, its input ('' = none).
local function keep_failure(values, place, failure, input)
  local bytes = (call('HGET', values, 'bytes') or 0) + #failure
  if input ~= '' and bytes + #input <= VALUES_LIMIT then
    call('HSET', values, 'e:' .. place, failure, 'i:' .. place, input, 'bytes', bytes + #input)
  else
    call('HSET', values, 'e:' .. place, failure, 'bytes', bytes)
  end
end

local function event(events, at, kind, ref, attempt, by, reason)
  local line = at .. '\t' .. kind .. '\t' .. (ref or '') .. '\t' .. (attempt or '') .. '\t' .. (by or '') .. '\t' .. (reason or '')
  if call('RPUSH', events, line) > EVENTS_KEPT then call('RPOP', events) end
end

local function job(id, ref, rec) return id .. ':' .. ref .. ':' .. rec.attempt .. ':' .. rec.dispatch end

-- The next attempt of a task, which moves to `to`; at is the time as text.
local function begin(x, rec, at, to)
  move(x, rec, to)
  rec.attempt = (rec.attempt or 0) + 1 .. ''
  rec.dispatch = '1'
  rec.try = (rec.try or 0) + 1 .. ''
  rec.queued = at
  rec.redrive = x.epoch
  rec.keep, rec.maybe, rec.plan, rec.rearmed = nil, nil, nil, nil
  rec.lost, rec.worker, rec.started, rec.ended, rec.due, rec.limit, rec.reason, rec.hash, rec.continued, rec.timed, rec.hand, rec.deadline = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
end

-- The next attempt of a task that a worker is to run.
local function enqueue(x, rec, at) begin(x, rec, at, 'queued') end

-- The task that holds this one: of an item its for_each, of an iteration its
-- loop, of a task in a body the group, item or iteration. nil for the outermost ones.
local function outside(ref)
  if string.sub(ref, -1) == ']' then return (string.match(ref, '^(.*)%[')) end
  return (string.match(ref, '^(.*)%.[^.]*$'))
end

-- Holders count what is in motion in them: tasks that were reached and have not
-- ended. Where nothing is any more, Go decides how the holder goes on.
local function stir(k, ref, delta)
  local holder = outside(ref)
  if not holder or delta == 0 then return end
  local left = call('HINCRBY', k.holders, holder, delta)
  if left == 0 then
    call('SADD', k.open, holder)
    k.opened = true
  end
  if left < 0 then call('HDEL', k.holders, holder) end -- it ended first, and counts no more
end

-- A task that held others counts them no more; of a for_each, also the keys of items that never began.
local function uncount(k, ref, rec)
  local window, fields = call('HGET', k.holders, ref .. '#'), {ref, ref .. '#'}
  local next, total = string.match(window or '', '^(%d+) (%d+)')
  for i = next and next + 0 or 0, next and math.max(total + 0, rec.size + 0) - 1 or -1 do
    fields[#fields + 1] = ref .. '#' .. i
    if #fields == 1000 then
      call('HDEL', k.holders, unpack(fields))
      fields = {ref}
    end
  end
  call('HDEL', k.holders, unpack(fields))
  local i = next and math.max(total + 0, rec.size + 0) or -1 -- what was appended before it was halted
  while i >= 0 and call('HDEL', k.holders, ref .. '#' .. i) == 1 do i = i + 1 end
  call('SREM', k.open, '>' .. ref)
end

-- Whether this attempt of a holder runs, nothing in it moves and Go was asked to decide.
local function rests(k, ref, rec, attempt)
  return rec.status == 'running' and rec.attempt == attempt and call('SISMEMBER', k.open, ref) == 1 and
    (call('HGET', k.holders, ref) or '0') == '0'
end

-- The timers of a task that no worker runs.
local function timer(kind, id, ref, rec) return kind .. ':' .. id .. ':' .. ref .. ':' .. rec.attempt end

local function disarm(k, id, ref, rec)
  if rec.due then call('ZREM', k.timers, timer('wake', id, ref, rec)) end
  if rec.limit then call('ZREM', k.timers, timer('limit', id, ref, rec)) end
  rec.due, rec.limit = nil, nil
end

-- Takes a task that has not ended out of everything that would let it go on; its record is not written. Jobs that were out
-- are added to `out` as ref, attempt, dispatch. k holds open, held, jobs, timers and holders.
local function stop(k, id, ref, rec, out)
  local was = rec.status
  if rec.control then
    if rec.child and was == 'running' then call('SADD', k.open, '!' .. rec.child) end -- Go cancels it
    disarm(k, id, ref, rec)
    uncount(k, ref, rec)
  end
  if (was == 'queued' or was == 'running') and not rec.control then
    call('ZREM', k.jobs, job(id, ref, rec))
    out[#out + 1] = ref
    out[#out + 1] = rec.attempt
    out[#out + 1] = rec.dispatch
  elseif was == 'retrying' then
    call('ZREM', k.timers, 'retry:' .. id .. ':' .. ref .. ':' .. rec.attempt)
  end
  if call('SREM', k.open, ref) == 1 or was ~= 'pending' then stir(k, ref, -1) end
  call('SREM', k.held, ref)
end
