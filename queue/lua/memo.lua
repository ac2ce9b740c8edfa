-- Writes memos of an execution, all of them or none.
-- KEYS: 1 execution HASH, 2 memos HASH
-- ARGV: 1 offset ms, then of each write put|drop, key, expected version (-1 = any, 0 = none), text
-- Returns {1} | {-1} gone | {-5} a version is not the expected one | {-10} there are too many, or too long ones
if call('EXISTS', KEYS[1]) == 0 then return {-1} end
local refused = memos_refused(KEYS[2], ARGV, 2)
if refused then return {refused} end
-- writes follow
write_memos(KEYS[1], KEYS[2], ARGV, 2, clock(ARGV[1]))
return {1}
