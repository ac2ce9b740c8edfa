-- Removes everything of an execution whose retention is over, or that was never finished building.
-- KEYS: 1 execution HASH, 2 expire ZSET, 3 building ZSET, 4 decide ZSET, 5 index ZSET, 6 timers ZSET, 7... its other keys,
--       the last two of them steps LIST, redrives HASH
-- ARGV: 1 id, 2 offset ms, 3 1 = whatever its retention says: it goes with the execution that it is a part of,
--       4 its epoch when it was seen to have ended ('' = it was not there)
-- Returns {1} | {-2} not due, or redriven meanwhile
local id, now = ARGV[1], clock(ARGV[2])
local status = call('HGET', KEYS[1], 'status')
if status and call('HGET', KEYS[1], 'epoch') ~= ARGV[4] then return {-2} end
local due = call('ZSCORE', KEYS[status and 2 or 3], id)
if ARGV[3] ~= '1' and (due and tonumber(due) > now or status and not due) then return {-2} end
local next = call('HGET', KEYS[#KEYS], 'next')
-- writes follow
if next then call('UNLINK', KEYS[#KEYS - 1] .. ':' .. next) end
for i = 2, 5 do call('ZREM', KEYS[i], id) end
call('UNLINK', KEYS[1])
call('ZREM', KEYS[6], 'expire:' .. id .. '::0', 'unpause:' .. id .. '::0')
for i = 7, #KEYS do call('UNLINK', KEYS[i]) end
return {1}
