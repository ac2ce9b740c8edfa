-- Takes, keeps or gives up the lead over a group of shards.
-- KEYS: 1 lead STRING
-- ARGV: 1 owner, 2 ttl ms (0 = give up)
-- Returns {1, 1 when the owner leads now else 0}
local holder = call('GET', KEYS[1])
local ttl = tonumber(ARGV[2])
if holder and holder ~= ARGV[1] then return {1, 0} end
-- writes follow
if ttl == 0 then
  call('DEL', KEYS[1])
  return {1, 0}
end
call('SET', KEYS[1], ARGV[1], 'PX', ttl)
return {1, 1}
