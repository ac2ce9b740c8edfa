-- Commits a redrive: of one execution, or of several that run and are parts of each other. Few steps are applied at once;
-- many were written to a list before, and from here on apply.lua applies them, whoever asks for it.
-- KEYS: per execution 18: as complete.lua, then 16 steps LIST, 17 redrives HASH, 18 LIST of steps that were written before
-- ARGV: 1 offset ms, 2 token, 3 number of executions, then per execution: id, epoch, revision ('' = each step is compared instead), by, reason,
--       running|queued|'' (as it is), until when it may be done ms ('' = any time), ms until its deadline ('' = none), record, new input ('' = as it was),
--       bytes that the values grow by, how many rows were written before (0 = none), token of a hold ('' = none), number of fields, then field, value per field of the execution;
--       number of rows, then the rows
-- Returns {1, now, then per execution: {id, 0 goes on | 1 decide, {ref, attempt, ...}, {ref, attempt, dispatch, ...} that were out}} | {2, number} done before
--       | {-1} gone | {-5} the state moved on | {-6, status} not in this status | {-9} the values of the execution would be too large
local now, token = clock(ARGV[1]), ARGV[2]
local parts, at = {}, 4
for n = 1, tonumber(ARGV[3]) do
  local K = {unpack(KEYS, 18 * n - 17, 18 * n)}
  local p = {K = K, id = ARGV[at], epoch = ARGV[at + 1], rev = ARGV[at + 2], by = ARGV[at + 3], reason = ARGV[at + 4], status = ARGV[at + 5],
    till = ARGV[at + 6], deadline = ARGV[at + 7], record = ARGV[at + 8], input = ARGV[at + 9], bytes = tonumber(ARGV[at + 10]), written = tonumber(ARGV[at + 11]), hold = ARGV[at + 12]}
  local fields = tonumber(ARGV[at + 13])
  p.fields = {unpack(ARGV, at + 14, at + 13 + 2 * fields)}
  at = at + 14 + 2 * fields
  p.rows, p.first = tonumber(ARGV[at]), at + 1
  at = at + 1 + p.rows
  parts[n] = p
end
for _, p in ipairs(parts) do
  local K = p.K
  local x = execution(K[1])
  if not x then return {-1} end
  local done = call('HGET', K[17], 't:' .. token)
  if done then return {2, tonumber(done)} end
  if call('HEXISTS', K[1], 'doomed') == 1 then return {-1} end
  if x.status == 'canceling' then return {-6, x.status} end
  local live = going(x) or x.status == 'queued'
  if live ~= (p.status == '') then return {-6, x.status} end
  if x.epoch ~= p.epoch or p.rev ~= '' and x.rev ~= p.rev or x.applying and (p.hold == '' or not string.find(x.applying, 'hold ' .. p.hold, 1, true)) or p.till ~= '' and now > tonumber(p.till) then return {-5} end
  if p.bytes > 0 and (call('HGET', K[3], 'bytes') or 0) + p.bytes > VALUES_LIMIT then return {-9} end
  if p.written > 0 and call('LLEN', K[18]) ~= p.written then return {-5} end
  local i = p.first - 1
  local function row()
    i = i + 1
    return i < p.first + p.rows and ARGV[i] or nil
  end
  p.steps = {}
  local t = step(row)
  while t do
    if not as_planned(record(K[2], t.r), t) then return {-5} end
    p.steps[#p.steps + 1] = t
    t = step(row)
  end
  p.x = x
end
-- writes follow
local reply = {1, now}
for n, p in ipairs(parts) do
  local K, x, id = p.K, p.x, p.id
  local k = keys(K)
  x.epoch = x.epoch + 1 .. ''
  if x.applying then
    x.applying = nil
    call('HDEL', K[1], 'applying')
  end
  for _, i in ipairs({1, 2, 3, 4, 5, 8, 14, 15, 17}) do call('PERSIST', K[i]) end
  call('ZREM', K[12], id)
  call('HDEL', K[3], 'out', 'error', 'failure')
  if x.status == 'succeeded' then -- it supersedes what it comes from, whatever becomes of it now
    local ended = call('HGET', K[1], 'ended')
    if ended then call('HSET', K[1], 'success', ended) end
  end
  call('HDEL', K[1], 'ended', 'ending', 'left')
  if p.status ~= '' then
    call('HDEL', K[1], 'waits')
    x.status = p.status
  end
  call('ZREM', K[13], 'expire:' .. id .. '::0')
  if p.deadline ~= '' and x.status == 'running' then call('ZADD', K[13], now + p.deadline, 'expire:' .. id .. '::0')
  elseif p.deadline ~= '' then call('HSET', K[1], 'left', p.deadline) end
  if p.input ~= '' then
    local former = call('HGET', K[3], 'in')
    if former then call('HSET', K[3], 'in#' .. p.epoch, former) end
    keep(K[3], 'in', p.input)
  end
  call('HSET', K[17], x.epoch, now .. ' ' .. p.record, 't:' .. token, x.epoch)
  event(K[8], now, 'execution.redriven', nil, nil, p.by, p.reason)
  local relay, out, state = {}, {}, 1
  if p.written > 0 then
    call('RENAME', K[18], K[16])
    call('PERSIST', K[16])
    x.applying = '1 ' .. p.written
    call('HSET', K[1], 'applying', x.applying)
  else
    relay, out = apply(K, x, id, now, p.steps)
  end
  local next = call('HGET', K[17], 'next') -- steps that it was to go on with: it does, or never will
  if next then
    call('HDEL', K[17], 'next')
    call('DEL', K[16] .. ':' .. next)
  end
  mark(K[11], id, now)
  if x.status == 'running' then call('HSETNX', K[1], 'started', now) end
  if p.status == 'queued' then -- what is ready is held until its turn comes: see begin.lua
    call('HSET', K[1], 'waits', x.epoch)
    event(K[8], now, 'execution.queued')
    state = 0
  else
    call('ZADD', K[10], 'NX', now, id)
  end
  if x.status ~= 'paused' then call('HSET', K[1], 'reason', p.reason) end -- why it is paused stays
  save(x, 'status', x.status, 'epoch', x.epoch, unpack(p.fields))
  reply[n + 2] = {id, state, relay, out}
end
return reply
