#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace niwaki {

inline std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A folder of its own for each test, removed with all that it holds.
class TemporaryFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "niwaki_test_XXXXXX").string();
    top_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(top_); }
  std::string at(const std::string& name) const { return (top_ / name).string(); }
  std::string put(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories((top_ / name).parent_path());
    std::ofstream(top_ / name, std::ios::binary) << bytes;
    return at(name);
  }
  size_t num_files() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top_)) count += entry.is_regular_file();
    return count;
  }
  std::filesystem::path top_;
};

}  // namespace niwaki
