-- Takes an execution off the list of those that wait for Go, if it does not wait.
-- KEYS: 1 execution HASH, 2 open SET, 3 held SET, 4 decide ZSET
-- ARGV: 1 id, 2 tasks failed or timed out that the caller knows of
-- Returns {1} | {-1} gone | {-5} something waits
local x = execution(KEYS[1])
if x then
  local held = x.status == 'running' and call('SCARD', KEYS[3]) or 0
  if x.failed + x.timed_out ~= tonumber(ARGV[2]) or x.status == 'canceling' or x.applying or going(x) and (call('SCARD', KEYS[2]) == 0 and active(x) == 0 or x.status == 'running' and call('SCARD', KEYS[2]) > 0 or held > 0 or call('HEXISTS', KEYS[1], 'cascade') == 1) then return {-5} end
end
-- writes follow
call('ZREM', KEYS[4], ARGV[1])
return {x and 1 or -1}
