-- Begins a task that no worker runs: one that holds others, a wait, an approval, a sub-workflow. What it holds
-- was written before (grow.lua) or is written here, and its first tasks are set in motion.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 epoch the decision rested on, 5 running|waiting, 6 input ('' = none kept), 7 input hash,
--       8 id of its sub-execution and, where this goes on, the token of its steps ('' = none), 9 how many tasks it holds, 10 when a wait ends ('' = not by itself, +ms or @ms),
--       11 ms until it times out ('' = never), 12 of a for_each "<parallel> <run|decide> <items that wait for their turn>" ('' = none), 13 1 = its record may be missing,
--       14 of a for_each the keys of its items as JSON ('' = none), 15 error of the execution ('' = none), 16 part (see lib_grow), then number of tasks to set in motion, then ref, run|decide per task
-- Returns {1, 1, now, ref, attempt, ...} | {-1} gone | {-5} the state moved on | {-9} the values of the execution would be too large
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
local new = not rec and ARGV[13] == '1'
if new then rec = {status = 'pending'} end
if not going(x) or x.epoch ~= ARGV[4] or not rec or rec.status ~= 'pending'
  or ARGV[13] == '' and call('SISMEMBER', KEYS[6], ref) == 0 then return {-5} end
local k = keys(KEYS)
if not fits(k, 16, #ARGV[6] + #ARGV[14]) then return {-9} end
-- writes follow
if new then x.pending = x.pending + 1 end
local at = grow(k, x, ref, 16)
local list = {}
for i = 1, tonumber(ARGV[at]) do
  local inside = record(KEYS[2], ARGV[at + 2 * i - 1])
  list[i] = {ref = ARGV[at + 2 * i - 1], mode = ARGV[at + 2 * i], rec = inside.status == 'pending' and inside or nil}
end
if ARGV[12] ~= '' then
  local parallel, mode, total = string.match(ARGV[12], '^(%d+) (%S+) (%d+)$')
  local first = math.min(tonumber(parallel), tonumber(total))
  call('HSET', KEYS[14], ref .. '#', '0 ' .. total .. ' ' .. parallel .. ' ' .. mode)
  for _ = 1, math.min(first, 500) do list[#list + 1] = slide(k, ref) end
  if first > 500 then call('SADD', KEYS[6], '>' .. ref) end
end
begin(x, rec, now .. '', ARGV[5])
rec.started, rec.control, rec.dispatch = now .. '', '1', '1'
rec.size = ARGV[9]
rec.child, rec.plan = string.match(ARGV[8], '^(%S+) ?(%S*)$')
if rec.plan == '' then rec.plan = nil end
rec.hash = ARGV[7] ~= '' and ARGV[7] or nil
if ARGV[6] ~= '' then keep(KEYS[3], 'i:' .. ref .. '#' .. rec.attempt, ARGV[6]) end
if ARGV[14] ~= '' then keep(KEYS[3], 'k:' .. ref, ARGV[14]) end
if ARGV[15] ~= '' then call('HSETNX', KEYS[3], 'failure', ARGV[15]) end
call('SREM', KEYS[6], ref)
if rec.child then -- Go makes it, and takes this off when it is there
  call('SADD', KEYS[6], ref)
  call('SADD', KEYS[15], rec.child)
end
local wake = ARGV[10]
if wake ~= '' then
  rec.due = string.sub(wake, 1, 1) == '@' and string.sub(wake, 2) or now + string.sub(wake, 2) .. ''
  call('ZADD', KEYS[13], rec.due, timer('wake', id, ref, rec))
end
if ARGV[11] ~= '' then
  rec.limit = now + ARGV[11] .. ''
  call('ZADD', KEYS[13], rec.limit, timer('limit', id, ref, rec))
end
local relay, moved = release(k, x, id, '', list, now)
call('HSET', KEYS[2], ref, cjson.encode(rec))
if ARGV[5] == 'running' and not rec.child then
  call('HSET', KEYS[14], ref, moved)
  if moved == 0 then call('SADD', KEYS[6], ref) end
end
event(KEYS[8], now, 'task.' .. ARGV[5], ref, rec.attempt)
call('ZADD', KEYS[10], 'NX', now, id)
save(x)
return {1, 1, now, unpack(relay)}
