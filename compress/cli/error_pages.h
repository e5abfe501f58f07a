#pragma once

#include <string>
#include <vector>

namespace niwaki {

/// A page of `niwaki explain`.
struct ErrorPage {
  const char* code;
  const char* title;
  const char* meaning;
  const char* help;
};

/// Every code that Niwaki prints, sorted.
const std::vector<ErrorPage>& error_pages();

}  // namespace niwaki
