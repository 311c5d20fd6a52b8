#include "proto/serving/unix_socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/serving/connection_acceptor.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

TEST(UnixAddressTest, IsAPathAfterTheScheme) {
  for (const char* path : {"/run/a/worker_0.sock", "/a-b@c=d+e~f"}) {
    const auto parsed = ParseUnixAddress(std::string("unix:") + path);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, path);
  }
}

TEST(UnixAddressTest, RefusesWhatListsOrGrpcWouldReadOtherwise) {
  for (const char* address :
       {"", "unix", "unix:", "/a", "127.0.0.1:1", "unix:a", "unix:./a", "unix://a/b", "unix:///a",
        "unix:/a/", "unix:/a b", "unix:/a,b", "unix:/a%20", "unix:/a?b", "unix:/a#b"}) {
    const absl::Status refused = ParseUnixAddress(address).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("write, for example, unix:/")) << address;
  }
}

TEST(UnixAddressTest, APathIsAsLongAsTheSystemTakesIt) {
  EXPECT_TRUE(ParseUnixAddress("unix:/" + std::string(106, 'a')).ok());
  const absl::Status refused = ParseUnixAddress("unix:/" + std::string(107, 'a')).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("108 bytes; expected at most 107"));
}

class UnixSocketTest : public testing::Test {
 protected:
  UnixSocketTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "unix_socket_XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    path_ = directory_ + "/s";
  }
  ~UnixSocketTest() override { std::filesystem::remove_all(directory_); }

  absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> Listen() const {
    return ConnectionAcceptor::Listen("unix:" + path_);
  }
  // As a process leaves it that is killed.
  void LeaveAFile() const {
    const std::string kept = path_ + ".kept";
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    {
      const auto file = UnixSocketFile::Listen(fd, path_, 1);
      ASSERT_TRUE(file.ok()) << file.status();
      std::filesystem::rename(path_, kept);  // the object would remove it
    }
    close(fd);
    std::filesystem::rename(kept, path_);
    std::ofstream(path_ + ".lock").close();
  }
  sockaddr_un Address() const {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    return address;
  }
  bool Connects() const {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const sockaddr_un address = Address();
    const bool connected =
        connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    return connected;
  }

  std::string directory_;
  std::string path_;
};

TEST_F(UnixSocketTest, ConnectionsAreHandedOnAndTheFileGoesAtTheEnd) {
  auto acceptor = Listen();
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  EXPECT_EQ((*acceptor)->address(), "unix:" + path_);
  std::atomic<int> accepted = 0;
  (*acceptor)->Start([&accepted](int fd) {
    ++accepted;
    close(fd);
  });
  EXPECT_TRUE(Connects());
  while (accepted == 0) std::this_thread::yield();
  acceptor->reset();
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(UnixSocketTest, TheUmaskSaysWhoMayConnect) {
  const mode_t before = umask(0077);
  const auto acceptor = Listen();
  umask(before);
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  struct stat found = {};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
}

TEST_F(UnixSocketTest, TheFileOfAKilledProcessIsReplaced) {
  LeaveAFile();
  ASSERT_TRUE(std::filesystem::is_socket(path_));
  ASSERT_FALSE(Connects());
  const auto acceptor = Listen();
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  EXPECT_TRUE(Connects());
}

TEST_F(UnixSocketTest, OneThatListensKeepsItsFile) {
  const auto acceptor = Listen();
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  const absl::Status second = Listen().status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr("another process listens there"));
  EXPECT_TRUE(Connects());
}

TEST_F(UnixSocketTest, OneThatHasTheLockListensOrIsAboutTo) {
  LeaveAFile();
  const int fd = open((path_ + ".lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  const absl::Status second = Listen().status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr("another process listens there"));
  EXPECT_TRUE(std::filesystem::is_socket(path_));
  close(fd);
  EXPECT_TRUE(Listen().ok());
}

TEST_F(UnixSocketTest, OtherFilesAreLeftAlone) {
  std::ofstream(path_) << "a letter";
  const absl::Status refused = Listen().status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no socket"));
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(UnixSocketTest, ADirectoryThatIsNotThereIsUnavailable) {
  const absl::Status refused = ConnectionAcceptor::Listen("unix:" + path_ + "/x").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("No such file or directory"));
}

TEST_F(UnixSocketTest, AnotherProgramsSocketStaysAtTheEnd) {
  auto acceptor = Listen();
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  std::filesystem::remove(path_);
  const int other = socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_un address = Address();
  ASSERT_EQ(bind(other, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  acceptor->reset();
  EXPECT_TRUE(std::filesystem::is_socket(path_));
  close(other);
}

TEST_F(UnixSocketTest, AnotherProgramsSocketIsNotReplacedWhileItListens) {
  const int other = socket(AF_UNIX, SOCK_STREAM, 0);
  const sockaddr_un address = Address();
  ASSERT_EQ(bind(other, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(other, 1), 0);
  EXPECT_EQ(Listen().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Connects());
  close(other);
}

TEST_F(UnixSocketTest, OfManyThatStartAtOnceOneListens) {
  for (int round = 0; round < 300; ++round) {
    LeaveAFile();
    std::atomic<int> listening = 0;
    std::atomic<int> done = 0;
    std::vector<std::thread> starting;
    for (int i = 0; i < 4; ++i) {
      starting.emplace_back([&] {
        const auto acceptor = Listen();
        listening += acceptor.ok() ? 1 : 0;
        ++done;
        while (done < 4) std::this_thread::yield();  // it listens until all have tried
      });
    }
    for (std::thread& thread : starting) thread.join();
    EXPECT_EQ(listening, 1);
  }
}

}  // namespace
}  // namespace tramontane
