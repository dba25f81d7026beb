-- Comparisons and logic: bool results, no gradients.
local rows = {}
for name, doc in pairs { eq = "input == other", ne = "input ~= other", lt = "input < other", le = "input <= other", gt = "input > other", ge = "input >= other" } do
  rows[#rows + 1] = { name, "input: tensor, other: operand", program = true, promotes = true, bool = true, inplace = true,
    doc = doc .. ", element by element; NaN compares false except in ne.", nograd = "comparisons have no gradient" }
end
for name, doc in pairs { logical_and = "Both are nonzero.", logical_or = "One of both is nonzero.", logical_xor = "Exactly one of both is nonzero." } do
  rows[#rows + 1] = { name, "input: tensor, other: operand", program = true, promotes = true, bool = true, inplace = true, doc = doc, nograd = "logic has no gradient" }
end
for name, doc in pairs { bitwise_and = "Bits set in both; for bool, and.", bitwise_or = "Bits set in either; for bool, or.", bitwise_xor = "Bits set in exactly one; for bool, xor." } do
  rows[#rows + 1] = { name, "input: operand, other: operand", program = true, promotes = true, infer = "rule_bits", inplace = true, doc = doc, nograd = "bits have no gradient" }
end
rows[#rows + 1] = { "logical_not", "input: tensor", program = true, promotes = true, bool = true, inplace = true, doc = "The element is zero.", nograd = "logic has no gradient" }
rows[#rows + 1] = { "bitwise_not", "input: tensor", program = true, promotes = true, infer = "rule_bits", inplace = true, doc = "All bits turned; for bool, not.", nograd = "bits have no gradient" }
rows[#rows + 1] = { "isnan", "input: tensor", program = true, bool = true, doc = "The element is NaN.", nograd = "tests have no gradient" }
rows[#rows + 1] = { "isfinite", "input: tensor", program = true, bool = true, doc = "The element is neither NaN nor infinite.", nograd = "tests have no gradient" }
rows[#rows + 1] = { "isinf", "input: tensor", program = true, bool = true, doc = "The element is infinite, of either sign.", nograd = "tests have no gradient" }
rows[#rows + 1] = { "isclose", "input: tensor, other: tensor, *, rtol: float! = 1e-05, atol: float! = 1e-08, equal_nan: bool = false", program = true, promotes = true, bool = true,
  numbers = true, infer = true, doc = "|input - other| <= atol + rtol * |other|, or both are equal; equal_nan: or both are NaN. Broadcast together.", nograd = "comparisons have no gradient" }
table.sort(rows, function(a, b) return a[1] < b[1] end)
return rows
