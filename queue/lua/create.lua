-- Creates an execution with its tasks and the jobs of its roots, once. Larger ones had their tasks built before.
-- KEYS: 1 execution HASH, 2 tasks HASH, 3 values HASH, 4 attempts HASH, 5 preds HASH, 6 open SET, 7 held SET,
--       8 events LIST, 9 jobs ZSET, 10 decide ZSET, 11 index ZSET, 12 building ZSET, 13 timers ZSET; of a sub-workflow 14 execution HASH, 15 tasks HASH of its parent;
--       where it must be of the newest version 14 workflow HASH (not on a Cluster)
-- ARGV: 1 id, 2 offset ms, 3 tasks in all, 4 input, 5 ms until its deadline ('' = none), 6 refs to write here, then the refs; then number of preds,
--       then field, value per entry; then number of roots, then ref, run|decide per root;
--       then field, value per field of the execution; then running|queued, until when it may be created ms ('' = any time),
--       the task of the parent that it is for ('' = none), who asked for it, the field and the value of its own definition ('' = it has none),
--       and the head that its workflow must have, which limits nothing ('' = any)
-- Returns {1, 1 when something must be decided else 0, now, ref, attempt, ...} | {2} existed already | {-2} the parent does not want it any more | {-5} tasks are missing, it is too late, or there is a newer version
local id, now = ARGV[1], clock(ARGV[2])
if call('EXISTS', KEYS[1]) == 1 then return {2} end
local status, till, task, by, own, definition, head = unpack(ARGV, #ARGV - 6)
if head ~= '' then
  local v = call('HMGET', KEYS[14], 'head', 'limit')
  if v[1] ~= head or v[2] then return {-5} end
end
if till ~= '' and now > tonumber(till) then return {-5} end
if task ~= '' then
  local parent, rec = execution(KEYS[14]), record(KEYS[15], task)
  if not parent or not going(parent) or not rec or rec.status ~= 'running' or rec.child ~= id or rec.timed or rec.hand then return {-2} end
end
local total, here = tonumber(ARGV[3]), tonumber(ARGV[6])
if here < total and call('HLEN', KEYS[2]) ~= total then return {-5} end
-- writes follow
local k = {tasks = KEYS[2], preds = KEYS[5], open = KEYS[6], held = KEYS[7], jobs = KEYS[9]}
local at, set = 6, {}
for i = 1, here do
  set[2 * i - 1] = ARGV[at + i]
  set[2 * i] = FRESH
end
if here > 0 then call('HSET', KEYS[2], unpack(set)) end
at = at + here + 1
local preds = 2 * ARGV[at]
if preds > 0 then call('HSET', KEYS[5], unpack(ARGV, at + 1, at + preds)) end
at = at + preds + 1
local roots, when = {}, now .. ''
for i = 1, tonumber(ARGV[at]) do
  roots[i] = {ref = ARGV[at + 2 * i - 1], mode = ARGV[at + 2 * i], rec = {status = 'pending'}, fresh = true}
end
at = at + 2 * #roots
call('HSET', KEYS[3], 'in', ARGV[4], 'bytes', #ARGV[4] + #definition .. '')
if own ~= '' then call('HSET', KEYS[3], own, definition) end
local x = {key = KEYS[1], status = status, epoch = '0', rev = 0, pending = total, queued = 0, running = 0, retrying = 0,
  waiting = 0, succeeded = 0, failed = 0, timed_out = 0, canceled = 0, skipped = 0}
local relay = release(k, x, id, '', roots, now)
local waits = status == 'queued' -- what is ready is held until its turn comes: see begin.lua
save(x, 'status', status, 'epoch', '0', 'created', when, waits and 'waits' or 'started', waits and '0' or when, unpack(ARGV, at + 1, #ARGV - 7))
if here < total then call('ZREM', KEYS[12], id) end
call('ZADD', KEYS[11], when, id)
if ARGV[5] ~= '' and waits then call('HSET', KEYS[1], 'left', ARGV[5]) end
if ARGV[5] ~= '' and not waits then call('ZADD', KEYS[13], now + ARGV[5], 'expire:' .. id .. '::0') end
event(KEYS[8], when, waits and 'execution.queued' or 'execution.started', nil, nil, by)
if waits then return {1, 0, now} end
local decide = 0
for _, s in ipairs(roots) do
  if s.mode == 'decide' then decide = 1 end
end
if decide == 1 then call('ZADD', KEYS[10], now, id) end
return {1, decide, now, unpack(relay)}
