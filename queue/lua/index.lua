-- Brings an execution's list entries up to date, unless a later revision did.
-- KEYS: 1 indexed HASH, 2 list of its former status ZSET, 3 list of its status ZSET, 4... lists it is in whatever its status
-- ARGV: 1 id, 2 revision, 3 status, 4 former status that the caller saw
-- Returns {1} done | {2} a later revision stands | {-5, former status} the former status is another
local id, rev = ARGV[1], tonumber(ARGV[2])
local shown = call('HGET', KEYS[1], id)
local old, was = 0, ''
if shown then
  local r, s = string.match(shown, '^(%d+) (%S+)$')
  old, was = tonumber(r), s
end
if shown and old >= rev then return {2} end
if was ~= ARGV[4] then return {-5, was} end
-- writes follow
call('HSET', KEYS[1], id, rev .. ' ' .. ARGV[3])
if was ~= ARGV[3] then call('ZREM', KEYS[2], id) end
for i = 3, #KEYS do call('ZADD', KEYS[i], 0, id) end
return {1}
