#include "compress/cli/run_identity.h"

#include "compress/atomic_file.h"
#include "compress/error.h"
#include "compress/run_directory.h"
#include "passes/all_passes.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

class RunIdentityTest : public ::testing::Test {
 protected:
  RunIdentityTest() : folder_(fs::path(::testing::TempDir()) / cat("identity_", ::getpid())) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_file(file("model"), std::string("model"));
    write_file(file("data"), std::string("data"));
    request_.model = file("model");
    request_.training.path = file("data");
    request_.output = file("out.onnx");
    request_.words = {"finetune", "model", "-o", "out.onnx"};
  }
  ~RunIdentityTest() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string identity(const Json& options = Json::object()) const { return run_identity(request_, {all_passes().make("finetune", options)}); }

  fs::path before_ = fs::current_path(), folder_;
  JobRequest request_;
};

TEST_F(RunIdentityTest, ChangesWithAllThatDecidesTheResult) {
  const std::string first = identity();
  EXPECT_EQ(first.size(), 16u);
  EXPECT_EQ(identity(), first);
  EXPECT_NE(identity({{"lr", 0.5}}), first);
  request_.threads = 7;
  EXPECT_EQ(identity(), first);
  request_.seed = 1;
  EXPECT_NE(identity(), first);
  request_.seed = 0;
  request_.output = file("other.onnx");
  EXPECT_NE(identity(), first);
  request_.output = file("out.onnx");
  write_file(file("data"), std::string("other data"));
  const std::string second = identity();
  EXPECT_NE(second, first);
  write_file(file("model"), std::string("modem"));
  EXPECT_NE(identity(), second);
}

TEST_F(RunIdentityTest, AStoppedRunIsRepeatedWhereItWasStarted) {
  fs::current_path(folder_);
  write_file(request_file(file("")), request_text(request_));
  fs::current_path(before_);
  const Strings words = resumed_words(file(""), "niwaki");
  EXPECT_EQ(words, (Strings{"niwaki", "finetune", "model", "-o", "out.onnx"}));
  EXPECT_TRUE(fs::equivalent(fs::current_path(), folder_));
}

TEST_F(RunIdentityTest, WhatIsNoRequestIsRefused) {
  const auto code = [&] {
    try {
      resumed_words(folder_.string(), "niwaki");
    } catch (const Error& error) {
      return error.code();
    }
    return std::string();
  };
  EXPECT_EQ(code(), "E4004");
  for (const char* text : {"", "{", "[]", "{\"folder\": \"/\", \"words\": \"rm\"}", "{\"folder\": \"/\", \"words\": [1], \"version\": \"0\"}",
                           "{\"folder\": \"/\", \"words\": [\"run\"], \"version\": \"0.0.0\"}"}) {
    write_file(request_file(folder_.string()), std::string(text));
    EXPECT_EQ(code(), "E1806") << text;
  }
}

}  // namespace
}  // namespace niwaki
