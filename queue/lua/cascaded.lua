-- Sub-executions were paused or resumed with this one.
-- KEYS: 1 execution HASH
-- ARGV: 1 pause|resume, which was passed on
-- Returns {1} | {-5} another one is to be passed on
if (call('HGET', KEYS[1], 'cascade') or ARGV[1]) ~= ARGV[1] then return {-5} end
-- writes follow
call('HDEL', KEYS[1], 'cascade')
return {1}
