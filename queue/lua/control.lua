-- Pauses, resumes or begins to cancel an execution.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 held SET, 4 events LIST, 5 jobs ZSET, 6 decide ZSET, 7 index ZSET, 8 timers ZSET, 9 children SET, 10 open SET, 11 memos HASH, 12 redrives HASH;
--       13 execution HASH of the parent, when it passes on that it was paused or resumed
-- ARGV: 1 id, 2 offset ms, 3 pause|resume|cancel, 4 by, 5 reason, 6 most held tasks to let go in this call,
--       7 of a pause: ms after which the execution fails ('' = never), 8 token ('' = none; the same again changes nothing), then the memos that it writes as memo.lua takes them
-- Returns {1, status, held tasks left, now, 1 when sub-executions are to follow, then ref, attempt, dispatch of every job to relay} | {-1} gone
--       | {-2} a resume came after the deadline of the pause | {-5} a memo has another version | {-6, status} not in this status | {-10} too many memos
local id, now, op = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
if ARGV[8] ~= '' and call('HEXISTS', KEYS[12], 'c:' .. ARGV[8]) == 1 then return {1, x.status, 0, now, 0} end
local to
if op == 'pause' and (x.status == 'queued' or x.status == 'running') then to = 'paused'
elseif op == 'resume' and x.status == 'paused' then
  to = call('HEXISTS', KEYS[1], 'waits') == 1 and 'queued' or 'running' -- paused before its turn: it waits again
elseif op == 'resume' and x.status == 'running' and not x.applying and call('SCARD', KEYS[3]) > 0 then to = x.status
elseif op == 'cancel' and (going(x) or x.status == 'queued') then to = 'canceling'
else return {-6, x.status} end
local above = KEYS[13] and call('HGET', KEYS[13], 'status')
if above and (above == 'paused') ~= (op == 'pause') then return {-6, x.status} end -- it was resumed, or paused, meanwhile
local deadline, over = 'expire:' .. id .. '::0', 'unpause:' .. id .. '::0'
local till = op == 'resume' and x.status == 'paused' and call('ZSCORE', KEYS[8], over)
if till and tonumber(till) <= now then return {-2} end
local refused = memos_refused(KEYS[11], ARGV, 9)
if refused then return {refused} end
local held, recs = {}, {}
if to == 'running' and not x.applying then held = call('SRANDMEMBER', KEYS[3], tonumber(ARGV[6])) end
for i, ref in ipairs(held) do recs[i] = record(KEYS[2], ref) end
-- writes follow
local changed = x.status ~= to
x.status = to
local reply = {1, to, 0, now, 0}
for i, ref in ipairs(held) do
  local rec = recs[i]
  call('SREM', KEYS[3], ref)
  if rec and rec.status == 'queued' then
    rec.dispatch = rec.dispatch + 1 .. ''
    call('HSET', KEYS[2], ref, cjson.encode(rec))
    call('ZADD', KEYS[5], now + RELAY_GRACE, job(id, ref, rec))
    reply[#reply + 1] = ref
    reply[#reply + 1] = rec.attempt
    reply[#reply + 1] = rec.dispatch
  end
end
reply[3] = call('SCARD', KEYS[3])
if op == 'cancel' or to == 'running' and (x.applying or reply[3] > 0 or call('SCARD', KEYS[10]) > 0) then call('ZADD', KEYS[6], 'NX', now, id) end
mark(KEYS[7], id, now)
if changed and to == 'paused' then
  local due = call('ZSCORE', KEYS[8], deadline)
  if due then call('HSET', KEYS[1], 'left', math.max(tonumber(due) - now, 0)) end
  call('ZREM', KEYS[8], deadline)
  call('HSET', KEYS[1], 'paused', now)
  call('HDEL', KEYS[1], 'paused_until')
  if ARGV[7] ~= '' then
    call('ZADD', KEYS[8], now + ARGV[7], over)
    call('HSET', KEYS[1], 'paused_until', now + ARGV[7])
  end
elseif changed then
  call('ZREM', KEYS[8], over)
  if op == 'resume' then call('HSET', KEYS[1], 'resumed', now) end
  local left = to == 'running' and call('HGET', KEYS[1], 'left')
  if left then
    call('ZADD', KEYS[8], now + left, deadline)
    call('HDEL', KEYS[1], 'left')
  end
end
if changed and op ~= 'cancel' and call('EXISTS', KEYS[9]) == 1 then
  call('HSET', KEYS[1], 'cascade', op)
  reply[5] = 1
  call('ZADD', KEYS[6], 'NX', now, id)
end
write_memos(KEYS[1], KEYS[11], ARGV, 9, now)
if ARGV[8] ~= '' then call('HSET', KEYS[12], 'c:' .. ARGV[8], 1) end
if changed then
  save(x, 'status', to, 'reason', ARGV[5])
  local word = {pause = 'paused', resume = to == 'queued' and to or 'resumed', cancel = 'canceling'}
  event(KEYS[4], now, 'execution.' .. word[op], nil, nil, ARGV[4], ARGV[5])
else
  save(x)
end
return reply
