-- Forgets an agenda entry once it is done, unless it was made again meanwhile.
-- KEYS: 1 agenda ZSET
-- ARGV: 1 member, 2 score that was seen
-- Returns {1}
local score = call('ZSCORE', KEYS[1], ARGV[1])
local same = score and tonumber(score) == tonumber(ARGV[2])
-- writes follow
if same then call('ZREM', KEYS[1], ARGV[1]) end
return {1}
