-- Prepended to every script. x is an execution (status, epoch, revision and one
-- counter per task status); a record is the state of one task as JSON.
local STATUSES = {'pending', 'queued', 'running', 'retrying', 'waiting',
  'succeeded', 'failed', 'timed_out', 'canceled', 'skipped'}
local EVENTS_KEPT = 200000 -- of one execution; later ones are not recorded
local RELAY_GRACE = 1500   -- ms that the writer of a job has to relay it before a sweep does

-- Milliseconds since 1970 by Redis' clock; offset is 0 outside tests.
local function clock(offset)
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) + tonumber(offset)
end

local function execution(key)
  local v = redis.call('HMGET', key, 'status', 'epoch', 'rev', 'pending', 'queued', 'running',
    'retrying', 'waiting', 'succeeded', 'failed', 'timed_out', 'canceled', 'skipped')
  if not v[1] then return nil end
  local x = {key = key, status = v[1], epoch = tonumber(v[2]), rev = tonumber(v[3]), n = {}, set = {}}
  for i, s in ipairs(STATUSES) do x.n[s] = tonumber(v[i + 3] or 0) end
  return x
end

local function going(x) return x.status == 'running' or x.status == 'paused' end

local function active(x) return x.n.queued + x.n.running + x.n.retrying + x.n.waiting end

-- The only place where a task's status changes: the record and the counters together.
local function move(x, rec, to)
  local n = x.n
  n[rec.status] = n[rec.status] - 1
  n[to] = n[to] + 1
  x.set[rec.status] = true
  x.set[to] = true
  rec.status = to
end

local function save(x, ...)
  local args = {'rev', x.rev + 1, ...}
  for s in pairs(x.set) do
    args[#args + 1] = s
    args[#args + 1] = x.n[s]
  end
  redis.call('HSET', x.key, unpack(args))
end

local function record(tasks, ref)
  local raw = redis.call('HGET', tasks, ref)
  return raw and cjson.decode(raw)
end

local function event(events, at, kind, ref, attempt, by, reason)
  local line = table.concat({at, kind, ref or '', attempt or '', by or '', reason or ''}, '\t')
  if redis.call('RPUSH', events, line) > EVENTS_KEPT then redis.call('RPOP', events) end
end

local function job(id, ref, rec) return id .. ':' .. ref .. ':' .. rec.attempt .. ':' .. rec.dispatch end

-- ARGV[at] = count, then per successor: ref, run|decide, 1 when it has other
-- predecessors too. Answers what ref's end means for each; writes nothing.
-- A count of -1 says that there are too many for one call: spread.lua releases them.
local function successors(tasks, preds, ref, at)
  local count = tonumber(ARGV[at])
  local out, joins = {spread = count < 0}, {}
  for i = 1, count do
    local base = at + (i - 1) * 3
    local s = {ref = ARGV[base + 1], mode = ARGV[base + 2], join = ARGV[base + 3] == '1', last = true}
    out[i] = s
    if s.join then
      joins[#joins + 1] = s.ref .. ' ' .. ref
      joins[#joins + 1] = '#' .. s.ref
    end
  end
  if #joins > 0 then
    local v = redis.call('HMGET', preds, unpack(joins))
    local k = 0
    for _, s in ipairs(out) do
      if s.join then
        s.open = v[k + 1] and true or false
        s.last = s.open and tonumber(v[k + 2]) == 1
        k = k + 2
      end
    end
  end
  for _, s in ipairs(out) do
    if s.last then
      local rec = record(tasks, s.ref)
      if rec and rec.status == 'pending' then s.rec = rec end
    end
  end
  return out
end

-- The next attempt of a task that may run now.
local function enqueue(x, rec, now)
  move(x, rec, 'queued')
  rec.attempt = (rec.attempt or 0) + 1
  rec.dispatch = 1
  rec.try = (rec.try or 0) + 1
  rec.queued = now
  rec.redrive = x.epoch
  rec.lost, rec.worker, rec.started, rec.ended, rec.due, rec.reason = nil, nil, nil, nil, nil, nil
end

-- Writes what `successors` found; k holds the keys. Answers ref, attempt pairs of the jobs to relay.
local function release(k, x, id, ref, list, now)
  local gone, recs, jobs, held, decide, relay = {}, {}, {}, {}, {}, {}
  for _, s in ipairs(list) do
    if s.open then
      gone[#gone + 1] = s.ref .. ' ' .. ref
      redis.call('HINCRBY', k.preds, '#' .. s.ref, -1)
    end
    if s.rec and s.mode == 'decide' then
      decide[#decide + 1] = s.ref
    elseif s.rec then
      enqueue(x, s.rec, now)
      recs[#recs + 1] = s.ref
      recs[#recs + 1] = cjson.encode(s.rec)
      if x.status == 'paused' then
        held[#held + 1] = s.ref
      else
        jobs[#jobs + 1] = now + RELAY_GRACE
        jobs[#jobs + 1] = job(id, s.ref, s.rec)
        relay[#relay + 1] = s.ref
        relay[#relay + 1] = s.rec.attempt
      end
    end
  end
  if #gone > 0 then redis.call('HDEL', k.preds, unpack(gone)) end
  if #recs > 0 then redis.call('HSET', k.tasks, unpack(recs)) end
  if #held > 0 then redis.call('SADD', k.held, unpack(held)) end
  if #jobs > 0 then redis.call('ZADD', k.jobs, unpack(jobs)) end
  if #decide > 0 then redis.call('SADD', k.open, unpack(decide)) end
  if list.spread then redis.call('SADD', k.open, '>' .. ref) end
  return relay
end

-- Ends the execution; retention in ms. A TTL is the net beneath the purge.
local function finish(k, x, id, status, now, retention, reason)
  x.status = status
  redis.call('ZREM', k.decide, id)
  redis.call('ZADD', k.expire, now + retention, id)
  redis.call('ZADD', k.index, now, id)
  local ttl = retention + 86400000
  for _, key in ipairs({x.key, k.tasks, k.values, k.attempts, k.preds, k.events}) do
    redis.call('PEXPIRE', key, ttl)
  end
  redis.call('DEL', k.open, k.held)
  event(k.events, now, 'execution.' .. status, nil, nil, nil, reason)
end

-- After a task ended: says whether the execution ended (2), needs a decision (1)
-- or goes on (0). With `simple` (no output to compute) a clean end is made here.
local function settle(k, x, id, now, simple, retention)
  local open = redis.call('SCARD', k.open)
  if active(x) == 0 and open == 0 then
    local n = x.n
    if simple == '1' and n.pending + n.failed + n.timed_out + n.canceled == 0 then
      finish(k, x, id, 'succeeded', now, retention)
      return 2
    end
  elseif open == 0 then
    return 0
  end
  redis.call('ZADD', k.decide, 'NX', now, id)
  return 1
end
