-- Releases a part of the successors of a task that ended and has too many for one call.
-- KEYS: as complete.lua
-- ARGV: 1 id, 2 offset ms, 3 ref that ended, 4 epoch, 5 1 when this is the last part, 6 successors (see lib_release)
-- Returns {1, 1, now, ref, attempt, ...} | {-1} gone | {-5} the state moved on
local id, now, ref = ARGV[1], clock(ARGV[2]), ARGV[3]
local x = execution(KEYS[1])
if not x then return {-1} end
if not going(x) or x.epoch ~= ARGV[4] or call('SISMEMBER', KEYS[6], '>' .. ref) == 0 then return {-5} end
local list = successors(KEYS[2], KEYS[5], ref, 6)
local k = keys(KEYS)
-- writes follow
local relay, moved = release(k, x, id, ref, list, now)
if ARGV[5] == '1' then call('SREM', KEYS[6], '>' .. ref) end
stir(k, ref, moved - tonumber(ARGV[5]))
call('ZADD', KEYS[10], 'NX', now, id)
save(x)
return {1, 1, now, unpack(relay)}
