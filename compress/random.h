#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

namespace niwaki {

/// Counter-based numbers keyed by (seed, name): the same on every machine, in every order, on any thread (SplitMix64).
class Generator {
 public:
  Generator(uint64_t seed, std::string_view name) : key_(mix(seed + 0x9e3779b97f4a7c15u)) {
    for (const char c : name) key_ = mix(key_ ^ static_cast<unsigned char>(c));
  }
  uint64_t at(uint64_t counter) const { return mix(key_ + 0x9e3779b97f4a7c15u * (counter + 1)); }
  uint64_t next() { return at(counter_++); }
  /// In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
  /// In [0, bound).
  uint64_t below(uint64_t bound) { return next() % bound; }
  /// Standard normal (Box and Muller).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

 private:
  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  uint64_t key_, counter_ = 0;
};

}  // namespace niwaki
