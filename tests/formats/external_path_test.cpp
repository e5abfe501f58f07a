#include "formats/external_path.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>

#include "compress/error.h"
#include "compress/mapped_file.h"

namespace niwaki {
namespace {

namespace fs = std::filesystem;

class ExternalPath : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "niwaki_external_XXXXXX").string();
    top_ = ::mkdtemp(name.data());
    fs::create_directories(top_ / "box/sub");
    put("secret.bin", "secret");
    put("box/m.onnx", "model");
    put("box/w.bin", "weights");
    put("box/..data", "weights");
    put("box/sub/w.bin", "weights");
  }
  void TearDown() override { fs::remove_all(top_); }
  void put(const std::string& name, const std::string& text) { std::ofstream(top_ / name) << text; }
  void link(const std::string& target, const std::string& name) {
    fs::create_directories((top_ / name).parent_path());
    fs::create_symlink(target, top_ / name);
  }
  std::string open(const std::string& location, PathPolicy policy = {},
                   const std::string& model = "box/m.onnx") {
    try {
      const std::string path = (top_ / model).string();
      const int descriptor = open_external(path, location, policy, "tensor 'w'");
      const auto file =
          MappedFile::from_descriptor(descriptor, external_display_path(path, location));
      EXPECT_TRUE(file->unchanged());
      return {reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size()};
    } catch (const Error& error) {
      return error.code();
    }
  }
  fs::path top_;
};

TEST_F(ExternalPath, AcceptsNamesBelowTheModel) {
  for (const char* location : {"w.bin", "./w.bin", "sub/w.bin", "..data", "sub/./w.bin"})
    EXPECT_EQ(open(location), "weights") << location;
}

TEST_F(ExternalPath, RefusesPathsThatLeave) {
  const std::string nul("w\0.bin", 6);
  for (const std::string& location :
       {std::string("../secret.bin"), std::string("sub/../w.bin"), std::string("sub//w.bin"),
        std::string("/etc/passwd"), std::string("C:w"), std::string("a\\b"), std::string("."),
        std::string(), nul, std::string(".."), std::string("sub/"), std::string("sub/."),
        std::string("w\n.bin"), std::string(1025, 'a'), std::string("*/_ORT_MEM_ADDR_/*"),
        std::string("\\\\host\\share")}) {
    EXPECT_EQ(open(location), "E1201") << location;
  }
}

TEST_F(ExternalPath, MissingFiles) {
  for (const char* location : {"none.bin", "none/w.bin", "w.bin/deeper", "\x80"})
    EXPECT_EQ(open(location), "E1208") << location;
  EXPECT_EQ(open(std::string(1000, 'a')), "E1208");
}

TEST_F(ExternalPath, LinksAreRefusedWhereTheModelIsNone) {
  link("../secret.bin", "box/out.bin");
  link("w.bin", "box/inside.bin");
  link("..", "box/up");
  link("nowhere", "box/dangling");
  for (const char* location : {"out.bin", "inside.bin", "up/secret.bin", "dangling"})
    EXPECT_EQ(open(location), "E1202") << location;
  EXPECT_EQ(open("out.bin", {.allow_symlinks = true}), "secret");
  EXPECT_EQ(open("inside.bin", {.allow_symlinks = true}), "weights");
}

TEST_F(ExternalPath, DownloadCacheOpens) {
  fs::create_directories(top_ / "blobs");
  put("blobs/aaa", "model");
  put("blobs/bbb", "weights");
  link("../../../blobs/aaa", "snapshots/rev/onnx/model.onnx");
  link("../../../blobs/bbb", "snapshots/rev/onnx/model.onnx_data");
  EXPECT_EQ(open("model.onnx_data", {}, "snapshots/rev/onnx/model.onnx"), "weights");
  link("../../../secret.bin", "snapshots/rev/onnx/evil_data");
  EXPECT_EQ(open("evil_data", {}, "snapshots/rev/onnx/model.onnx"), "E1202");
  link("../secret.bin", "blobs/ccc");
  link("../../../blobs/ccc", "snapshots/rev/onnx/chain_data");
  EXPECT_EQ(open("chain_data", {}, "snapshots/rev/onnx/model.onnx"), "E1202");
  link("../../../blobs/ddd", "snapshots/rev/onnx/lost_data");
  EXPECT_EQ(open("lost_data", {}, "snapshots/rev/onnx/model.onnx"), "E1208");
  link("/proc/self/fd", "snapshots/rev/onnx/fds");
  EXPECT_EQ(open("fds/0", {}, "snapshots/rev/onnx/model.onnx"), "E1202");
}

TEST_F(ExternalPath, DataBesideTheRealFileOfALinkedModel) {
  link("../box/m.onnx", "links/m.onnx");
  EXPECT_EQ(open("w.bin", {}, "links/m.onnx"), "weights");
  EXPECT_EQ(open("sub/w.bin", {}, "links/m.onnx"), "weights");
  EXPECT_EQ(open("none.bin", {}, "links/m.onnx"), "E1208");
}

TEST_F(ExternalPath, OnlyRegularFilesWithOneName) {
  ::mkfifo((top_ / "box/pipe").c_str(), 0600);
  fs::create_hard_link(top_ / "secret.bin", top_ / "box/hard.bin");
  EXPECT_EQ(open("pipe"), "E1203");
  EXPECT_EQ(open("sub"), "E1203");
  EXPECT_EQ(open("hard.bin"), "E1203");
  EXPECT_EQ(open("hard.bin", {.allow_hardlinks = true}), "secret");
}

/// From here on openat2 fails in this process as on a kernel that lacks it.
bool forbid_openat2() {
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  sock_fprog program{4, filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(ExternalPath, OlderKernelsGiveTheSameAnswers) {
  link("../secret.bin", "box/out.bin");
  link("..", "box/up");
  link("../box/m.onnx", "links/m.onnx");
  link("../box/w.bin", "links/w.bin");
  const pid_t child = ::fork();
  if (child == 0) {
    if (!forbid_openat2()) ::_exit(99);
    const bool same = open("w.bin") == "weights" && open("sub/w.bin") == "weights" &&
                      open("./w.bin") == "weights" && open("none/w.bin") == "E1208" &&
                      open("w.bin/deeper") == "E1208" && open("out.bin") == "E1202" &&
                      open("up/secret.bin") == "E1202" && open("sub") == "E1203" &&
                      open("w.bin", {}, "links/m.onnx") == "weights";
    ::_exit(same ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 99) GTEST_SKIP() << "no system call filters here";
  EXPECT_EQ(status, 0);
}

TEST_F(ExternalPath, MessageNamesModelTensorAndPath) {
  try {
    open_external((top_ / "box/m.onnx").string(), "../../etc/passwd", {}, "tensor 'conv1.weight'");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "external data path leaves the model's directory");
    EXPECT_TRUE(
        error.details().where.ends_with("m.onnx, tensor 'conv1.weight', external_data.location"));
    EXPECT_NE(error.details().found.find("found '../../etc/passwd'"), std::string::npos);
  }
}

}  // namespace
}  // namespace niwaki
