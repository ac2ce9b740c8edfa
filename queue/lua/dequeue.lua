-- Dequeues jobs as asynq does and claims each in the same step; writes nothing by itself. `dequeue` is asynq's own script and `claim` is
-- claim.lua, both made functions of their KEYS and ARGV. Not for a Cluster: the keys of the claim follow from the job.
-- KEYS: 1 pending LIST, 2 paused STRING, 3 active LIST, 4 lease ZSET (asynq's)
-- ARGV: 1 expiry of asynq's lease s, 2 prefix of asynq's task keys, 3 offset ms, 4 worker, 5 lease ms, 6 jobs at most
-- Returns nil nothing there | per job {message, job id, what claim.lua answers}, the last of which may be a
--         refusal, or {message, job id} of a job that is not ours
local function take()
  local message = dequeue(KEYS, ARGV)
  if not message then return nil end
  local name = call('LINDEX', KEYS[3], 0)
  local id, ref, attempt, dispatch = string.match(name, '^(%x+%-%x+%-%x+%-%x+%-%x+):([^:]+):(%d+):(%d+)$')
  if not id then return {message, name} end
  local p = 'redrive:{s:' .. string.format('%03d', tonumber(string.sub(id, -2), 16)) .. '}:'
  local keys = {p .. 'x:' .. id, p .. 't:' .. id, p .. 'v:' .. id, p .. 'h:' .. id, p .. 'e:' .. id, p .. 'jobs'}
  local ok, answer = pcall(claim, keys, {id, ARGV[3], ref, attempt, dispatch, ARGV[4], ARGV[5], ''})
  if not ok then return {message, name} end
  return {message, name, answer}
end
local taken = {}
for i = 1, tonumber(ARGV[6]) do
  taken[i] = take()
  if not taken[i] or not taken[i][3] or taken[i][3][1] ~= 1 then break end
end
if #taken == 0 then return nil end
return taken
