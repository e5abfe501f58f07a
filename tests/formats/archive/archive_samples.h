#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// Symbols drawn from rounded normal numbers.
inline Bytes normal_symbols(size_t count, double deviation, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  Bytes symbols(count);
  for (uint8_t& symbol : symbols) symbol = static_cast<uint8_t>(static_cast<int8_t>(std::clamp(std::round(normal(random)), -127.0, 127.0)));
  return symbols;
}

/// Of each row and column another share is left; `zero` stands for the rest.
inline Bytes structured_mask(size_t rows, size_t columns, double share, uint8_t zero, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> of_column(columns);
  for (double& own : of_column) own = 3 * uniform(random) * uniform(random);
  const Bytes values = normal_symbols(rows * columns, 40, seed);
  Bytes symbols(rows * columns, zero);
  for (size_t r = 0; r < rows; ++r) {
    const double of_row = 2 * uniform(random);
    for (size_t c = 0; c < columns; ++c) {
      if (uniform(random) < share * of_row * of_column[c]) symbols[r * columns + c] = static_cast<uint8_t>(values[r * columns + c] | 1);
    }
  }
  return symbols;
}

/// The code of the error that `work` ends with, or "".
inline std::string code_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const Error& error) {
    return error.code();
  }
}

}  // namespace niwaki::archive
