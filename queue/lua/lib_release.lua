-- Prepended to the scripts that end a task or make tasks ready.

-- ARGV[at] = count, then per successor: ref, run|decide, 1 when it has other
-- predecessors too. Answers what ref's end means for each; writes nothing.
-- A count of -1 says that there are too many for one call: spread.lua releases them.
local function successors(tasks, preds, ref, at)
  local count = tonumber(ARGV[at])
  local out, joins = {spread = count < 0}, nil
  for i = 1, count do
    local base = at + (i - 1) * 3
    local s = {ref = ARGV[base + 1], mode = ARGV[base + 2], join = ARGV[base + 3] == '1', last = true}
    out[i] = s
    if s.join then
      joins = joins or {}
      joins[#joins + 1] = s.ref .. ' ' .. ref
      joins[#joins + 1] = '#' .. s.ref
    end
  end
  if joins then
    local v = {}
    for from = 1, #joins, 1000 do
      local part = call('HMGET', preds, unpack(joins, from, math.min(from + 999, #joins)))
      for i = 1, #part do v[from + i - 1] = part[i] end
    end
    local k = 0
    for _, s in ipairs(out) do
      if s.join then
        s.open = v[k + 1] and true or false
        s.last = s.open and tonumber(v[k + 2]) == 1
        k = k + 2
      end
    end
  end
  local last, refs = {}, {}
  for _, s in ipairs(out) do
    if s.last then
      last[#last + 1] = s
      refs[#refs + 1] = s.ref
    end
  end
  if #refs > 0 then
    for i, raw in ipairs(call('HMGET', tasks, unpack(refs))) do
      if raw == FRESH then
        last[i].rec, last[i].fresh = {status = 'pending'}, true
      elseif raw then
        local rec = cjson.decode(raw)
        if rec.status == 'pending' then last[i].rec = rec end
      end
    end
  end
  return out
end

-- The next item of a for_each that has not begun, to take the place of one that ended. One that was settled before its
-- turn and runs again is in the line twice: it is passed over where it is in motion, was taken by this call, or is the one that ends.
local slid = {}
local function slide(k, holder, ends)
  local window = call('HGET', k.holders, holder .. '#')
  if not window then return nil end
  local next, total, parallel, mode = string.match(window, '^(%d+) (%d+) (%d+) (%S+)$')
  while next + 0 < total + 0 do
    local ref = holder .. '[' .. call('HGET', k.holders, holder .. '#' .. next) .. ']'
    call('HDEL', k.holders, holder .. '#' .. next)
    next = next + 1 .. ''
    call('HSET', k.holders, holder .. '#', next .. ' ' .. total .. ' ' .. parallel .. ' ' .. mode)
    local raw = call('HGET', k.tasks, ref)
    local rec = raw and cjson.decode(raw)
    if rec and rec.status == 'pending' and ref ~= ends and not slid[k.holders .. ref] and call('SISMEMBER', k.open, ref) == 0 then
      slid[k.holders .. ref] = true
      return {ref = ref, mode = mode, rec = rec, fresh = raw == FRESH}
    end
  end
  return nil
end

-- Lets no more items of a for_each begin.
local function halt(k, holder)
  local window = call('HGET', k.holders, holder .. '#')
  if window then call('HSET', k.holders, holder .. '#', (string.gsub(window, '^(%d+) %d+', '%1 %1'))) end
end

-- Writes what `successors` found, and the record of ref itself when it is given;
-- k holds the keys; still says that ref was not in motion, so that no item takes its place. Answers ref, attempt pairs of the jobs to relay, and how many tasks were set in motion.
local function release(k, x, id, ref, list, now, own, still)
  local relay, at, look = {}, now .. '', now + RELAY_GRACE .. ''
  if own and not still and string.sub(ref, -1) == ']' then list[#list + 1] = slide(k, outside(ref), ref) end
  if #list == 0 then
    if own then call('HSET', k.tasks, ref, cjson.encode(own)) end
    if list.spread then call('SADD', k.open, '>' .. ref) end
    k.opened = k.opened or list.spread
    return relay, list.spread and 1 or 0
  end
  local gone, recs, jobs, held, decide, moved = {}, {}, {}, {}, {}, 0
  if own then recs[1], recs[2] = ref, cjson.encode(own) end
  for _, s in ipairs(list) do
    if s.open then
      gone[#gone + 1] = s.ref .. ' ' .. ref
      call('HINCRBY', k.preds, '#' .. s.ref, -1)
    end
    if s.rec then moved = moved + 1 end
    if s.rec and (s.mode == 'decide' or s.rec.maybe) then
      decide[#decide + 1] = s.ref
    elseif s.rec then
      enqueue(x, s.rec, at)
      recs[#recs + 1] = s.ref
      -- Most tasks run once: their record is written without the encoder, which costs as much as two commands.
      recs[#recs + 1] = s.fresh and '{"status":"queued","attempt":"1","dispatch":"1","try":"1","queued":"' .. at ..
        '","redrive":"' .. x.epoch .. '"}' or cjson.encode(s.rec)
      if aside(x) then
        held[#held + 1] = s.ref
      else
        jobs[#jobs + 1] = look
        jobs[#jobs + 1] = job(id, s.ref, s.rec)
        relay[#relay + 1] = s.ref
        relay[#relay + 1] = s.rec.attempt
      end
    end
  end
  if #gone > 0 then call('HDEL', k.preds, unpack(gone)) end
  for from = 1, #recs, 1000 do call('HSET', k.tasks, unpack(recs, from, math.min(from + 999, #recs))) end
  if #held > 0 then call('SADD', k.held, unpack(held)) end
  if #jobs > 0 then call('ZADD', k.jobs, unpack(jobs)) end
  if #decide > 0 then
    call('SADD', k.open, unpack(decide))
    k.opened = true
  end
  return relay, moved
end

-- Tells the execution that this one is a sub-workflow of that it ended, where that still waits for it; they share a shard.
local function tell(k, x, id, now)
  local p = call('HMGET', x.key, 'parent', 'parent_task')
  if not p[1] or p[1] == '' then return false end
  local shard = string.sub(k.decide, 1, -#'decide' - 1)
  if call('EXISTS', shard .. 'x:' .. p[1]) == 0 then return false end
  local rec = record(shard .. 't:' .. p[1], p[2])
  if rec and rec.status == 'running' and rec.child == id then
    call('SADD', shard .. 'd:' .. p[1], p[2])
    call('ZADD', k.decide, 'NX', now, p[1])
  end
  return true
end

-- Ends the execution; retention in ms. A TTL is the net beneath the purge; a tree
-- of sub-workflows is purged from its root and has none.
local function finish(k, x, id, status, now, retention, reason)
  x.status = status
  call('ZREM', k.decide, id)
  call('ZREM', k.timers, 'expire:' .. id .. '::0', 'unpause:' .. id .. '::0')
  mark(k.index, id, now)
  call('DEL', k.open, k.held)
  if x.applying then -- it was canceled meanwhile
    call('HDEL', x.key, 'applying')
    call('DEL', string.sub(k.decide, 1, -#'decide' - 1) .. 'q:' .. id)
  end
  event(k.events, now, 'execution.' .. status, nil, nil, nil, reason)
  if tell(k, x, id, now) then return end
  call('ZADD', k.expire, now + retention .. '', id)
  if call('EXISTS', k.children) == 1 then return end
  local ttl = retention + 86400000 .. ''
  local redrives = string.sub(k.decide, 1, -#'decide' - 1) .. 'r:' .. id
  for _, key in ipairs({x.key, k.tasks, k.values, k.attempts, k.preds, k.events, k.holders, redrives}) do call('PEXPIRE', key, ttl) end
end

-- After a task ended: says whether the execution ended (2), needs a decision (1)
-- or goes on (0). With `simple` (no output to compute) a clean end is made here.
-- What was open before is the business of whoever opened it: it is on the list already.
local function settle(k, x, id, now, simple, retention)
  if not k.opened and active(x) > 0 then return 0 end
  if x.applying then
    call('ZADD', k.decide, 'NX', now, id)
    return 1
  end
  local open = call('SCARD', k.open)
  if active(x) == 0 and open == 0 then
    if simple == '1' and x.pending + x.failed + x.timed_out + x.canceled == 0 then
      finish(k, x, id, 'succeeded', now, retention)
      return 2
    end
  elseif open == 0 then
    return 0
  end
  call('ZADD', k.decide, 'NX', now, id)
  return 1
end

-- The keys as executionKeys.settle in keys.go gives them.
local function keys(K)
  return {tasks = K[2], values = K[3], attempts = K[4], preds = K[5], open = K[6], held = K[7], events = K[8], jobs = K[9],
    decide = K[10], index = K[11], expire = K[12], timers = K[13], holders = K[14], children = K[15]}
end

-- Makes a task that ended ready to be reached again; its attempt stays as history. Answers its record.
local function reset(K, x, ref, rec)
  if (rec.attempt or '0') ~= '0' and rec.status ~= 'pending' then
    local place = ref .. '#' .. rec.attempt
    rec.outcome = rec.status
    call('HSETNX', K[4], place, cjson.encode(rec)) -- one that is there ended before the task was canceled or skipped
    local out = call('HGET', K[3], 'o:' .. ref)
    if out then call('HSET', K[3], 'o:' .. place, out) end
  end
  call('HDEL', K[3], 'o:' .. ref)
  uncount({holders = K[14], open = K[6]}, ref, rec)
  move(x, rec, 'pending')
  local fresh = {status = 'pending', attempt = rec.attempt, given = rec.given}
  call('HSET', K[2], ref, cjson.encode(fresh))
  return fresh
end
