-- INCRBY that does not create a missing key, keeps the expiry, and goes on beyond 64 bits as Django's integers do.
-- KEYS[1]: the key. ARGV[1]: the delta in decimal. Returns the new number as text (a Lua number would lose digits beyond
-- 2^53), nil if there is no such key, or the error of INCRBY if the value is not an integer.
if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
local reply = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(reply) == 'number' then return redis.call('GET', KEYS[1]) end
local stored = redis.pcall('GET', KEYS[1])
if type(stored) ~= 'string' then return reply end

local function parse(text)
  local sign, digits = string.match(text, '^%s*([+-]?)0*(%d+)%s*$')
  return sign == '-', digits
end

-- |a| + |b|, or |a| - |b| for |a| >= |b|, digit by digit from the right.
local function combine(a, b, direction)
  local result, carry = {}, 0
  for i = 1, math.max(#a, #b) do
    local left = i <= #a and string.byte(a, #a - i + 1) - 48 or 0
    local right = i <= #b and string.byte(b, #b - i + 1) - 48 or 0
    local digit = left + direction * right + carry
    carry = math.floor(digit / 10)
    result[i] = string.char(digit % 10 + 48)
  end
  if carry > 0 then result[#result + 1] = string.char(carry + 48) end
  local text = string.reverse(table.concat(result))
  return string.match(text, '^0*(%d+)$')
end

local a_negative, a = parse(stored)
local b_negative, b = parse(ARGV[1])
if not a or not b then return reply end
local negative, digits
if a_negative == b_negative then
  negative, digits = a_negative, combine(a, b, 1)
elseif #a > #b or (#a == #b and a >= b) then
  negative, digits = a_negative, combine(a, b, -1)
else
  negative, digits = b_negative, combine(b, a, -1)
end
local text = (negative and digits ~= '0' and '-' or '') .. digits
redis.call('SET', KEYS[1], text, 'KEEPTTL')
return text
