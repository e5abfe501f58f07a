#include "passes/cleanup/symbolic_int.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace niwaki {

SymbolicInt SymbolicInt::symbol(uint32_t id) {
  SymbolicInt made;
  made.add_term({id}, 1);
  return made;
}

bool SymbolicInt::add_term(const Symbols& symbols, int64_t coefficient) {
  int64_t& total = terms_[symbols];
  const bool fits = !__builtin_add_overflow(total, coefficient, &total);
  if (total == 0) terms_.erase(symbols);
  return fits;
}

std::optional<int64_t> SymbolicInt::constant() const {
  if (terms_.empty()) return 0;
  if (terms_.size() > 1 || !terms_.begin()->first.empty()) return std::nullopt;
  return terms_.begin()->second;
}

bool SymbolicInt::is_at_least(int64_t low) const {
  const auto is_safe = [](const auto& term) { return term.first.empty() || term.second > 0; };
  if (!std::all_of(terms_.begin(), terms_.end(), is_safe)) return false;
  const auto found = terms_.find({});
  return (found == terms_.end() ? 0 : found->second) >= low;
}

std::string SymbolicInt::text() const {
  std::string text;
  for (const auto& [symbols, coefficient] : terms_) {
    text.append(text.empty() ? "" : "+").append(std::to_string(coefficient));
    for (const uint32_t id : symbols) text.append("*s").append(std::to_string(id));
  }
  return text.empty() ? "0" : text;
}

std::optional<SymbolicInt> sum(const SymbolicInt& a, const SymbolicInt& b) {
  SymbolicInt total = a;
  for (const auto& [symbols, coefficient] : b.terms_) {
    if (!total.add_term(symbols, coefficient)) return std::nullopt;
  }
  return total;
}

std::optional<SymbolicInt> product(const SymbolicInt& a, const SymbolicInt& b) {
  SymbolicInt total;
  for (const auto& [left, x] : a.terms_) {
    for (const auto& [right, y] : b.terms_) {
      SymbolicInt::Symbols both;
      std::merge(left.begin(), left.end(), right.begin(), right.end(), std::back_inserter(both));
      int64_t coefficient = 0;
      if (__builtin_mul_overflow(x, y, &coefficient) || !total.add_term(both, coefficient)) return std::nullopt;
    }
  }
  return total;
}

std::optional<SymbolicInt> difference(const SymbolicInt& a, const SymbolicInt& b) {
  const auto negative = product(b, -1);
  return negative ? sum(a, *negative) : std::nullopt;
}

std::optional<SymbolicInt> exact_quotient(const SymbolicInt& a, const SymbolicInt& b) {
  if (b.terms_.size() != 1) return a == b && !b.terms_.empty() ? std::optional<SymbolicInt>(1) : std::nullopt;
  const auto& [divisor, number] = *b.terms_.begin();
  SymbolicInt quotient;
  for (const auto& [symbols, coefficient] : a.terms_) {
    const bool overflows = number == -1 && coefficient == std::numeric_limits<int64_t>::min();
    if (overflows || coefficient % number != 0) return std::nullopt;
    if (!std::includes(symbols.begin(), symbols.end(), divisor.begin(), divisor.end())) return std::nullopt;
    SymbolicInt::Symbols rest;
    std::set_difference(symbols.begin(), symbols.end(), divisor.begin(), divisor.end(), std::back_inserter(rest));
    quotient.add_term(rest, coefficient / number);
  }
  return quotient;
}

}  // namespace niwaki
