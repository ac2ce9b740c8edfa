-- Stores a definition as the next version of its workflow, unless the newest version is the same, or not the expected one.
-- KEYS: 1 workflow HASH, 2 workflows ZSET, 3 definition STRING, 4 waiting ZSET, 5 due ZSET
-- ARGV: 1 name, 2 offset ms, 3 hash, 4 canonical JSON, 5 source, 6 "<most running> queue|reject" ('' = no limit),
-- 7 expected newest version (0 = none, -1 = any)
-- Returns {1, version} created | {2, version} equal to the newest | {-5} the newest is another
local now = clock(ARGV[2])
local newest, hash = string.match(call('HGET', KEYS[1], 'head') or '0 ', '^(%d+) (.*)$')
newest = tonumber(newest)
if hash == ARGV[3] then return {2, newest} end
if ARGV[7] ~= '-1' and newest ~= tonumber(ARGV[7]) then return {-5} end
-- writes follow
local v = newest + 1
call('SET', KEYS[3], ARGV[4])
call('HSET', KEYS[1], 'head', v .. ' ' .. ARGV[3], 'h:' .. v, ARGV[3], 's:' .. v, ARGV[5], 't:' .. v, now)
call('ZADD', KEYS[2], 0, ARGV[1])
if ARGV[6] == '' then call('HDEL', KEYS[1], 'limit') else call('HSET', KEYS[1], 'limit', ARGV[6]) end
if call('EXISTS', KEYS[4]) == 1 then fill_at(KEYS[5], ARGV[1], now) end
return {1, v}
