-- Pauses, resumes or begins to cancel an execution.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 held SET, 4 events LIST, 5 jobs ZSET, 6 decide ZSET, 7 index ZSET
-- ARGV: 1 id, 2 offset ms, 3 pause|resume|cancel, 4 by, 5 reason, 6 most held tasks to let go in this call
-- Returns {1, status, held tasks left, now, then ref, attempt, dispatch of every job to relay} | {-1} gone | {-6, status} not in this status
local id, now, op = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local to
if op == 'pause' and (x.status == 'queued' or x.status == 'running') then to = 'paused'
elseif op == 'resume' and x.status == 'paused' then
  to = call('HEXISTS', KEYS[1], 'waits') == 1 and 'queued' or 'running' -- paused before its turn: it waits again
elseif op == 'resume' and x.status == 'running' and call('SCARD', KEYS[3]) > 0 then to = x.status
elseif op == 'cancel' and (going(x) or x.status == 'queued') then to = 'canceling'
else return {-6, x.status} end
local held, recs = {}, {}
if to == 'running' then held = call('SRANDMEMBER', KEYS[3], tonumber(ARGV[6])) end
for i, ref in ipairs(held) do recs[i] = record(KEYS[2], ref) end
-- writes follow
local changed = x.status ~= to
x.status = to
local reply = {1, to, 0, now}
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
if op == 'cancel' or reply[3] > 0 and to == 'running' then call('ZADD', KEYS[6], 'NX', now, id) end
mark(KEYS[7], id, now)
if changed then
  save(x, 'status', to, 'reason', ARGV[5])
  local word = {pause = 'paused', resume = to == 'queued' and to or 'resumed', cancel = 'canceling'}
  event(KEYS[4], now, 'execution.' .. word[op], nil, nil, ARGV[4], ARGV[5])
else
  save(x)
end
return reply
