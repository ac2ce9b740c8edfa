-- Runs failed tasks of an ended execution again, with what depends on them: one plan, applied at once.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 epoch, 4 revision the plan rested on, 5 by, 6 reason,
--       7 running|queued, 8 until when it may be done ms ('' = any time), 9 ms until the execution's deadline ('' = none),
--       10 number of tasks to reset, then per task: ref, number of open preds, preds...;
--       then number of tasks to start, then ref, run|decide per task
-- Returns {1, 0 goes on | 1 decide, now, ref, attempt, ...} | {-1} gone | {-5} moved on | {-6, status} not ended
local id, now = ARGV[1], clock(ARGV[2])
local x = execution(KEYS[1])
if not x then return {-1} end
if going(x) or x.status == 'canceling' or x.status == 'queued' then return {-6, x.status} end
if x.epoch ~= ARGV[3] or x.rev ~= ARGV[4] or ARGV[8] ~= '' and now > tonumber(ARGV[8]) then return {-5} end
local at, resets = 10, {}
for _ = 1, tonumber(ARGV[10]) do
  local t = {ref = ARGV[at + 1], preds = {}}
  local n = tonumber(ARGV[at + 2])
  for i = 1, n do t.preds[i] = ARGV[at + 2 + i] end
  at = at + 2 + n
  t.rec = record(KEYS[2], t.ref)
  if not t.rec then return {-5} end
  resets[#resets + 1] = t
end
at = at + 1
local starts, byref = {}, {}
for _ = 1, tonumber(ARGV[at]) do
  starts[#starts + 1] = {ref = ARGV[at + 1], mode = ARGV[at + 2]}
  at = at + 2
end
-- writes follow
local k = keys(KEYS)
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[8], KEYS[14]}) do call('PERSIST', key) end
call('ZREM', KEYS[12], id)
call('HDEL', KEYS[3], 'out', 'error', 'failure')
call('HDEL', KEYS[1], 'ended', 'waits', 'ending', 'left')
if ARGV[9] ~= '' and ARGV[7] == 'queued' then call('HSET', KEYS[1], 'left', ARGV[9]) end
if ARGV[9] ~= '' and ARGV[7] ~= 'queued' then call('ZADD', KEYS[13], now + ARGV[9], 'expire:' .. id .. '::0') end
x.status, x.epoch = ARGV[7], x.epoch + 1 .. ''
for _, t in ipairs(resets) do
  t.rec = reset(KEYS, x, t.ref, t.rec)
  byref[t.ref] = t.rec
  for _, pred in ipairs(t.preds) do call('HSET', KEYS[5], t.ref .. ' ' .. pred, 1) end
  call('HSET', KEYS[5], '#' .. t.ref, #t.preds)
end
for _, s in ipairs(starts) do s.rec = byref[s.ref] end
event(KEYS[8], now, 'execution.redriven', nil, nil, ARGV[5], ARGV[6])
local relay = release(k, x, id, '', starts, now)
mark(KEYS[11], id, now)
local state = 0
if x.status == 'queued' then -- what is ready is held until its turn comes: see begin.lua
  call('HSET', KEYS[1], 'waits', 1)
  event(KEYS[8], now, 'execution.queued')
else
  state = settle(k, x, id, now, '0', 0)
end
save(x, 'status', x.status, 'epoch', x.epoch, 'reason', ARGV[6])
return {1, state, now, unpack(relay)}
