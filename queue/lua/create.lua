-- Creates an execution with its tasks and the jobs of its roots, once.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 attempts HASH, 5 preds HASH, 6 open SET, 7 held SET,
--       8 events LIST, 9 jobs ZSET, 10 decide ZSET, 11 index ZSET, 12 building ZSET
-- ARGV: 1 id, 2 offset ms, 3 tasks in all, 4 number of roots, then ref, run|decide per root;
--       then number of values, then field, value per value; then field, value per field of the execution
-- Returns {1, 1 when something must be decided else 0, now, ref, attempt, ...} | {2} existed already | {-5} tasks are missing
local id, now = ARGV[1], clock(ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 1 then return {2} end
if redis.call('HLEN', KEYS[2]) ~= tonumber(ARGV[3]) then return {-5} end
-- writes follow
local k = {tasks = KEYS[2], preds = KEYS[5], open = KEYS[6], held = KEYS[7], jobs = KEYS[9]}
local roots, at = {}, 4
for _ = 1, tonumber(ARGV[4]) do
  roots[#roots + 1] = {ref = ARGV[at + 1], mode = ARGV[at + 2], rec = {status = 'pending'}}
  at = at + 2
end
at = at + 1
for _ = 1, tonumber(ARGV[at]) do
  redis.call('HSET', KEYS[3], ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
for i = at + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
local x = {key = KEYS[1], status = 'running', epoch = 0, rev = 0, n = {}, set = {}}
for _, s in ipairs(STATUSES) do x.n[s] = 0 end
x.n.pending = tonumber(ARGV[3])
x.set.pending = true
local relay = release(k, x, id, '', roots, now)
save(x, 'status', 'running', 'epoch', 0, 'created', now, 'started', now)
redis.call('ZREM', KEYS[12], id)
redis.call('ZADD', KEYS[11], now, id)
event(KEYS[8], now, 'execution.started')
local decide = 0
if redis.call('SCARD', KEYS[6]) > 0 then
  decide = 1
  redis.call('ZADD', KEYS[10], now, id)
end
return {1, decide, now, unpack(relay)}
