-- A remote run counts from now on against the cap of its kind, unless that is reached.
-- KEYS: 1 held ZSET, 2 begun ZSET
-- ARGV: 1 offset ms, 2 job id, 3 how many at once (0 = any), 4 how many in a time (0 = any), 5 that time ms, 6 ms that the keys are kept from now on
-- Returns {1} | {-5} it is reached
local now = clock(ARGV[1])
local once, often = tonumber(ARGV[3]), tonumber(ARGV[4])
local since = now - ARGV[5] .. ''
if once > 0 and call('ZCARD', KEYS[1]) >= once then return {-5} end
if often > 0 and call('ZCOUNT', KEYS[2], '(' .. since, '+inf') >= often then return {-5} end
-- writes follow
if once > 0 then
  call('ZADD', KEYS[1], now .. '', ARGV[2])
  call('PEXPIRE', KEYS[1], ARGV[6])
end
if often > 0 then
  call('ZREMRANGEBYSCORE', KEYS[2], '-inf', since)
  call('ZADD', KEYS[2], now .. '', ARGV[2])
  call('PEXPIRE', KEYS[2], ARGV[6])
end
return {1}
