-- Lists an execution in the trip that made it, while nothing else happened to it, and forgets that its list entries are behind.
-- `index` is index.lua, made a function of its KEYS and ARGV. Not for a Cluster: the lists lie in other slots.
-- KEYS: 1 execution HASH, 2 index ZSET, 3 numbers HASH, 4... what index.lua takes
-- ARGV: 1 id, 2 number, 3... what index.lua takes: the id, the revision ...
-- Returns {1, 1 when it is listed now else 0} | {-1} gone | {-2} stale: it moved on, or somebody else made it
local x = execution(KEYS[1])
if not x then return {-1} end
if x.rev ~= ARGV[4] or call('HGET', KEYS[1], 'number') ~= ARGV[2] then return {-2} end
-- writes follow
call('HSET', KEYS[3], ARGV[2], ARGV[1])
local done = index({unpack(KEYS, 4)}, {unpack(ARGV, 3)})
if done[1] ~= 1 or done[2] ~= 0 then return {1, 0} end
call('ZREM', KEYS[2], ARGV[1])
return {1, 1}
