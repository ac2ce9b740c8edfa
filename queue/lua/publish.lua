-- Stores a definition as the next version of its workflow, unless the newest version is the same.
-- KEYS: 1 workflow HASH, 2 workflows ZSET, 3 definition STRING
-- ARGV: 1 name, 2 offset ms, 3 hash, 4 canonical JSON, 5 source
-- Returns {1, version} created | {2, version} equal to the newest
local now = clock(ARGV[2])
local newest = tonumber(redis.call('HGET', KEYS[1], 'newest') or 0)
if newest > 0 and redis.call('HGET', KEYS[1], 'h:' .. newest) == ARGV[3] then return {2, newest} end
-- writes follow
local v = newest + 1
redis.call('SET', KEYS[3], ARGV[4])
redis.call('HSET', KEYS[1], 'newest', v, 'h:' .. v, ARGV[3], 's:' .. v, ARGV[5], 't:' .. v, now)
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return {1, v}
