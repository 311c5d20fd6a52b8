#include "model/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/utf8.h"
#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kDemoModel[] = TRAMONTANE_SOURCE_DIR "/deploy/demo_model";
constexpr char kGoldenEncodings[] = TRAMONTANE_SOURCE_DIR "/tests/golden/tokenizer/encode.json";
constexpr int kVocabSize = 4096;

// Ids of the bundled tokenizer.
constexpr int kUnknown = 0;
constexpr int kBos = 1;
constexpr int kEos = 2;
constexpr int kFirstByte = 3;  // "<0x00>"
constexpr int kSpace = 3995;   // "▁"
constexpr int kOnce = 2742;    // "▁Once"

class TokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Load(kDemoModel, kVocabSize);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
    vectors_ = nlohmann::json::parse(testing::ReadWholeFile(kGoldenEncodings));
    ASSERT_FALSE(vectors_.empty());
  }

  std::string Decode(const std::vector<int>& ids) const { return tokenizer_->Decode(ids); }

  std::unique_ptr<Tokenizer> tokenizer_;
  nlohmann::json vectors_;  // each of "text", "token_ids" (BOS first) and "decoded"
};

TEST_F(TokenizerTest, EncodesEveryGoldenText) {
  for (const auto& vector : vectors_) {
    auto expected = vector.at("token_ids").get<std::vector<int>>();
    ASSERT_EQ(expected.front(), tokenizer_->bos_token_id());
    expected.erase(expected.begin());
    const auto ids = tokenizer_->Encode(vector.at("text").get<std::string>());
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, expected) << vector.at("text");
  }
}

TEST_F(TokenizerTest, DecodesEveryGoldenText) {
  for (const auto& vector : vectors_) {
    EXPECT_EQ(Decode(vector.at("token_ids").get<std::vector<int>>()),
              vector.at("decoded").get<std::string>());
  }
}

TEST_F(TokenizerTest, PiecesAddUpToTheTextAfterItsLeadingSpace) {
  for (const auto& vector : vectors_) {
    std::string bytes;
    for (int id : vector.at("token_ids").get<std::vector<int>>()) {
      bytes += tokenizer_->PieceBytes(id);
    }
    const std::string decoded = vector.at("decoded").get<std::string>();
    EXPECT_EQ(bytes, decoded.empty() ? "" : " " + decoded);
  }
}

TEST_F(TokenizerTest, AnyCutOfTheIdsDecodesToAPrefixOfTheText) {
  for (const auto& vector : vectors_) {
    const auto ids = vector.at("token_ids").get<std::vector<int>>();
    const std::string decoded = vector.at("decoded").get<std::string>();
    for (size_t n = 0; n <= ids.size(); ++n) {
      const std::string prefix = tokenizer_->Decode(std::span(ids).first(n));
      ASSERT_EQ(prefix, decoded.substr(0, prefix.size()));
    }
  }
}

TEST_F(TokenizerTest, AnIncompleteCharacterIsItsBytesSoFar) {
  const std::string smile = "\xf0\x9f\x98\x80";
  std::vector<int> ids;
  for (size_t n = 0; n < smile.size(); ++n) {
    ids.push_back(kFirstByte + static_cast<unsigned char>(smile[n]));
    EXPECT_EQ(Decode(ids), smile.substr(0, n + 1));
  }
}

TEST_F(TokenizerTest, OnlyTheFirstSpaceMarkOfATextIsDropped) {
  EXPECT_EQ(Decode({kOnce, kOnce}), "Once Once");
  EXPECT_EQ(Decode({kSpace, kSpace}), " ");
  EXPECT_EQ(Decode({kFirstByte + 'a', kOnce}), "a Once");
  EXPECT_EQ(Decode({kBos, kOnce}), "Once");
}

TEST_F(TokenizerTest, ControlIdsGiveNothing) {
  EXPECT_EQ(Decode({kBos, kEos, kBos}), "");
  EXPECT_EQ(Decode({kOnce, kEos, kOnce}), "Once Once");
  EXPECT_TRUE(tokenizer_->IsControl(kBos));
  EXPECT_TRUE(tokenizer_->IsControl(kEos));
  EXPECT_FALSE(tokenizer_->IsControl(kUnknown));
  EXPECT_FALSE(tokenizer_->IsControl(kOnce));
}

TEST_F(TokenizerTest, TheUnknownPieceIsSentencePiecesMark) {
  EXPECT_EQ(tokenizer_->PieceBytes(kUnknown), " \xe2\x81\x87 ");
}

TEST_F(TokenizerTest, IdsWithoutAPieceGiveNothing) {
  for (int id : {-1, 4096, 1 << 30}) {
    EXPECT_EQ(tokenizer_->PieceBytes(id), "");
    EXPECT_EQ(tokenizer_->Piece(id), "");
    EXPECT_EQ(Decode({id}), "");
    EXPECT_FALSE(tokenizer_->IsControl(id));
  }
}

TEST_F(TokenizerTest, PieceIsTheVocabularysSpelling) {
  EXPECT_EQ(tokenizer_->Piece(kOnce), "\xe2\x96\x81Once");
  EXPECT_EQ(tokenizer_->Piece(kBos), "<s>");
  EXPECT_EQ(tokenizer_->Piece(kFirstByte + '\n'), "<0x0A>");
}

TEST_F(TokenizerTest, ControlTokensInTextArePlainText) {
  const auto ids = tokenizer_->Encode("<s></s><unk>");
  ASSERT_TRUE(ids.ok()) << ids.status();
  for (int id : *ids) EXPECT_GT(id, kEos);
  EXPECT_EQ(tokenizer_->Decode(*ids), "<s></s><unk>");
}

TEST_F(TokenizerTest, EveryByteHasItsPiece) {
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(tokenizer_->PieceBytes(kFirstByte + byte), std::string(1, static_cast<char>(byte)));
  }
}

TEST_F(TokenizerTest, TextThatIsNotUtf8IsRefused) {
  const auto ids = tokenizer_->Encode("abc\xff");
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ids.status().message()), HasSubstr("at byte 3 of 4"));
}

TEST(TokenizerLoadTest, NoTokenizerIsNotFound) {
  const testing::TempDirectory directory;
  EXPECT_EQ(Tokenizer::Load(directory.path(), kVocabSize).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(TokenizerLoadTest, WhatIsNotAModelIsNamed) {
  const testing::TempDirectory directory;
  const std::string model = testing::ReadWholeFile(std::string(kDemoModel) + "/tokenizer.model");
  for (const std::string& content :
       {std::string(), std::string("{\"not\": \"a model\"}"), std::string(1000, '\xff'),
        model.substr(0, model.size() / 2)}) {
    directory.Write("tokenizer.model", content);
    const auto tokenizer = Tokenizer::Load(directory.path(), kVocabSize);
    EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument) << content.size();
    EXPECT_THAT(std::string(tokenizer.status().message()),
                HasSubstr(directory.File("tokenizer.model")));
  }
}

TEST(TokenizerLoadTest, TheVocabularyMayBePaddedButNotExceeded) {
  EXPECT_TRUE(Tokenizer::Load(kDemoModel, kVocabSize + 64).ok());
  const auto tokenizer = Tokenizer::Load(kDemoModel, kVocabSize - 1);
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("vocab_size (4095)"));
}

TEST(TokenizerLoadTest, WritesNothingOfItsOwnToStderr) {
  const testing::TempDirectory directory;
  directory.Write("tokenizer.model", "junk");
  ::testing::internal::CaptureStderr();
  const bool loaded = Tokenizer::Load(directory.path(), kVocabSize).ok();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_FALSE(loaded);
}

}  // namespace
}  // namespace tramontane
