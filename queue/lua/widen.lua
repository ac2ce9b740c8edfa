-- Sets more items of a for_each in motion, whose first step could not begin all that may run at once.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref, 4 epoch
-- Returns {1, 1, now, ref, attempt, ...} | {-1} gone | {-5} the state moved on
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
local rec = record(KEYS[2], ref)
if not going(x) or x.epoch ~= ARGV[4] or call('SISMEMBER', KEYS[6], '>' .. ref) == 0 then return {-5} end
local window = call('HGET', KEYS[14], ref .. '#')
local parallel = window and rec and rec.status == 'running' and tonumber(string.match(window, '^%d+ %d+ (%d+)')) or 0
local room = parallel - (call('HGET', KEYS[14], ref) or 0)
-- writes follow
local k, list = keys(KEYS), {}
for _ = 1, math.min(room, 500) do list[#list + 1] = slide(k, ref) end
local relay, moved = release(k, x, id, '', list, now)
if moved > 0 then call('HINCRBY', KEYS[14], ref, moved) end
if moved < 500 then
  call('SREM', KEYS[6], '>' .. ref)
  if rec and rec.status == 'running' and (call('HGET', KEYS[14], ref) or '0') == '0' then call('SADD', KEYS[6], ref) end
end
call('ZADD', KEYS[10], 'NX', now, id)
save(x)
return {1, 1, now, unpack(relay)}
