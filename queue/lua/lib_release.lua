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

-- Writes what `successors` found, and the record of ref itself when it is given;
-- k holds the keys. Answers ref, attempt pairs of the jobs to relay.
local function release(k, x, id, ref, list, now, own)
  local relay, at, look = {}, now .. '', now + RELAY_GRACE .. ''
  if #list == 0 then
    if own then call('HSET', k.tasks, ref, cjson.encode(own)) end
    if list.spread then call('SADD', k.open, '>' .. ref) end
    return relay
  end
  local gone, recs, jobs, held, decide = {}, {}, {}, {}, {}
  if own then recs[1], recs[2] = ref, cjson.encode(own) end
  for _, s in ipairs(list) do
    if s.open then
      gone[#gone + 1] = s.ref .. ' ' .. ref
      call('HINCRBY', k.preds, '#' .. s.ref, -1)
    end
    if s.rec and s.mode == 'decide' then
      decide[#decide + 1] = s.ref
    elseif s.rec then
      enqueue(x, s.rec, at)
      recs[#recs + 1] = s.ref
      -- Most tasks run once: their record is written without the encoder, which costs as much as two commands.
      recs[#recs + 1] = s.fresh and '{"status":"queued","attempt":"1","dispatch":"1","try":"1","queued":"' .. at ..
        '","redrive":"' .. x.epoch .. '"}' or cjson.encode(s.rec)
      if x.status == 'paused' or x.status == 'queued' then
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
  if #decide > 0 then call('SADD', k.open, unpack(decide)) end
  return relay
end

-- Ends the execution; retention in ms. A TTL is the net beneath the purge.
local function finish(k, x, id, status, now, retention, reason)
  x.status = status
  call('ZREM', k.decide, id)
  call('ZADD', k.expire, now + retention, id)
  mark(k.index, id, now)
  local ttl = retention + 86400000
  for _, key in ipairs({x.key, k.tasks, k.values, k.attempts, k.preds, k.events}) do call('PEXPIRE', key, ttl) end
  call('DEL', k.open, k.held)
  event(k.events, now, 'execution.' .. status, nil, nil, nil, reason)
end

-- After a task ended: says whether the execution ended (2), needs a decision (1)
-- or goes on (0). With `simple` (no output to compute) a clean end is made here.
local function settle(k, x, id, now, simple, retention)
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
