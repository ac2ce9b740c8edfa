-- Extends the leases of one worker's runs in one shard. A lease that is not there means
-- that the run was superseded: every transition out of running removes it.
-- KEYS: 1 jobs ZSET
-- ARGV: 1 offset ms, 2 lease ms, then job ids
-- Returns {1, then 1 (extended) or 0 (superseded) per job}
local till, reply = clock(ARGV[1]) + tonumber(ARGV[2]), {1}
for i = 3, #ARGV do reply[i - 1] = call('ZSCORE', KEYS[1], ARGV[i]) and 1 or 0 end
-- writes follow
for i = 3, #ARGV do
  if reply[i - 1] == 1 then call('ZADD', KEYS[1], till, ARGV[i]) end
end
return reply
