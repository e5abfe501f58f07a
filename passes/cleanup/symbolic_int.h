#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace niwaki {

/// A whole number that may depend on lengths known at run time only: a polynomial of symbols, each of them 0 or more.
/// Two are equal if and only if they are the same polynomial.
class SymbolicInt {
 public:
  SymbolicInt(int64_t constant = 0) { add_term({}, constant); }   // NOLINT: numbers are symbolic ints too
  static SymbolicInt symbol(uint32_t id);
  std::optional<int64_t> constant() const;   // nullopt: depends on a symbol
  /// True if it is `low` or more whatever the symbols are, as far as the signs of its terms tell.
  bool is_at_least(int64_t low) const;
  std::string text() const;                  // the same for equal ones
  bool operator==(const SymbolicInt&) const = default;

  // nullopt: the coefficients overflow.
  friend std::optional<SymbolicInt> sum(const SymbolicInt& a, const SymbolicInt& b);
  friend std::optional<SymbolicInt> difference(const SymbolicInt& a, const SymbolicInt& b);
  friend std::optional<SymbolicInt> product(const SymbolicInt& a, const SymbolicInt& b);
  /// a / b where that is a polynomial again, without a rest; for constants the quotient toward zero is not taken.
  friend std::optional<SymbolicInt> exact_quotient(const SymbolicInt& a, const SymbolicInt& b);

 private:
  using Symbols = std::vector<uint32_t>;     // sorted, repeated for powers
  bool add_term(const Symbols& symbols, int64_t coefficient);
  std::map<Symbols, int64_t> terms_;         // no zero coefficients
};

std::optional<SymbolicInt> sum(const SymbolicInt& a, const SymbolicInt& b);
std::optional<SymbolicInt> difference(const SymbolicInt& a, const SymbolicInt& b);
std::optional<SymbolicInt> product(const SymbolicInt& a, const SymbolicInt& b);
std::optional<SymbolicInt> exact_quotient(const SymbolicInt& a, const SymbolicInt& b);

}  // namespace niwaki
