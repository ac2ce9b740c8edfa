-- Memos: texts that are kept with an execution. Of each write there are four of ARGV: put|drop, key, the version that is
-- expected (-1 = any, 0 = there is none), text. Stored is '=' .. key -> "<version> <ms> <text>"; '#' -> "<last version> <memos> <bytes>".
local MEMOS, MEMO_BYTES = 1000, 4194304 -- of one execution

local function memo_size(memos)
  local version, count, bytes = string.match(call('HGET', memos, '#') or '0 0 0', '^(%d+) (%d+) (%d+)$')
  return tonumber(version), tonumber(count), tonumber(bytes)
end

-- The code of the refusal of writes whose first is at ARGV[at]; nil = they can be done.
local function memos_refused(memos, argv, at)
  local version, count, bytes = memo_size(memos)
  local more = false
  for i = at, #argv, 4 do
    local old = call('HGET', memos, '=' .. argv[i + 1])
    local has = old and tonumber(string.match(old, '^(%d+)')) or 0
    if argv[i + 2] ~= '-1' and has ~= tonumber(argv[i + 2]) then return -5 end
    if old then count, bytes = count - 1, bytes - #old end
    if argv[i] == 'put' then count, bytes, more = count + 1, bytes + #argv[i + 3] + 32, true end
  end
  if more and (count > MEMOS or bytes > MEMO_BYTES) then return -10 end
end

local function write_memos(execution, memos, argv, at, now)
  if not argv[at] then return end
  local version, count, bytes = memo_size(memos)
  for i = at, #argv, 4 do
    local field = '=' .. argv[i + 1]
    local old = call('HGET', memos, field)
    if old then count, bytes = count - 1, bytes - #old end
    version = version + 1
    if argv[i] == 'put' then
      local text = string.format('%d %d ', version, now) .. argv[i + 3]
      call('HSET', memos, field, text)
      count, bytes = count + 1, bytes + #text
    else
      call('HDEL', memos, field)
    end
  end
  call('HSET', memos, '#', string.format('%d %d %d', version, count, bytes))
  call('HSET', execution, 'memos', 1)
end
