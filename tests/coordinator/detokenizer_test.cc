#include "coordinator/detokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/coordinator/demo_model.h"

namespace tramontane {
namespace {

struct TextVector {
  std::string text;
  std::vector<int> token_ids;  // BOS first
  std::string decoded;
};

std::vector<TextVector> GoldenTexts() {
  std::ifstream file(GoldenDirectory() + "/tokenizer/encode.json");
  std::vector<TextVector> texts;
  for (const auto& entry : nlohmann::json::parse(file)) {
    texts.push_back({entry["text"], entry["token_ids"], entry["decoded"]});
  }
  return texts;
}

std::string Stream(Detokenizer& detokenizer, std::span<const int> completion) {
  std::string text;
  for (const int id : completion) {
    const std::string piece = detokenizer.Feed(id);
    EXPECT_EQ(ReplaceInvalidUtf8(piece), piece) << "a piece is whole characters";
    text += piece;
  }
  return text + detokenizer.Finish();
}

TEST(DetokenizerTest, EveryGoldenTextStreamedAfterBosIsItsDecoding) {
  ASSERT_GT(GoldenTexts().size(), 30u);
  for (const TextVector& golden : GoldenTexts()) {
    Detokenizer detokenizer(DemoTokenizer().get(), std::span(golden.token_ids).first(1), false);
    EXPECT_EQ(Stream(detokenizer, std::span(golden.token_ids).subspan(1)), golden.decoded)
        << golden.text;
  }
}

// Wherever prompt and completion meet: Decode(prompt) + completion == Decode(prompt + completion),
// but for a character that is cut in two, which comes whole.
TEST(DetokenizerTest, EverySplitOfEveryGoldenTextAddsUp) {
  for (const TextVector& golden : GoldenTexts()) {
    const std::span<const int> ids(golden.token_ids);
    for (size_t split = 1; split <= ids.size(); ++split) {
      Detokenizer echoing(DemoTokenizer().get(), ids.first(split), true);
      EXPECT_EQ(echoing.prompt_text() + Stream(echoing, ids.subspan(split)), golden.decoded)
          << golden.text << " at " << split;

      Detokenizer plain(DemoTokenizer().get(), ids.first(split), false);
      EXPECT_EQ(echoing.prompt_text() + Stream(plain, ids.subspan(split)),
                split == ids.size() ? echoing.prompt_text() : golden.decoded)
          << golden.text << " at " << split;
    }
  }
}

TEST(DetokenizerTest, CompletionKeepsItsLeadingSpace) {
  const std::vector<int> prompt = {1, 2742, 868, 261, 586};  // "Once upon a time"
  Detokenizer detokenizer(DemoTokenizer().get(), prompt, false);
  EXPECT_EQ(detokenizer.Feed(497), " there");
}

TEST(DetokenizerTest, FirstTokenOfATextLosesIt) {
  const std::vector<int> prompt = {1};
  Detokenizer detokenizer(DemoTokenizer().get(), prompt, false);
  EXPECT_EQ(detokenizer.Feed(497), "there");
  EXPECT_EQ(detokenizer.Feed(497), " there");
}

TEST(DetokenizerTest, PromptsCutCharacterIsNotTheCompletionsFault) {
  const int lead_byte = 3 + 0xE6;  // byte pieces follow the three control pieces
  const std::vector<int> prompt = {1, 497, lead_byte};
  Detokenizer plain(DemoTokenizer().get(), prompt, false);
  EXPECT_EQ(Stream(plain, std::vector<int>{497}), " there");
  Detokenizer echoing(DemoTokenizer().get(), prompt, true);
  EXPECT_EQ(echoing.prompt_text(), "there");
  EXPECT_EQ(Stream(echoing, std::vector<int>{497}), "\xEF\xBF\xBD there");
}

TEST(DetokenizerTest, BytesThatAreNoUtf8AreReplacedAndNothingIsLost) {
  const std::vector<int> prompt = {1};
  Detokenizer detokenizer(DemoTokenizer().get(), prompt, false);
  EXPECT_EQ(detokenizer.Feed(3 + 0xFF), "\xEF\xBF\xBD");
  EXPECT_EQ(detokenizer.Feed(3 + 0xC3), "");
  EXPECT_EQ(detokenizer.Finish(), "\xEF\xBF\xBD");
}

TEST(DetokenizerTest, ControlAndUnknownIdsGiveNoText) {
  const std::vector<int> prompt = {1, 497};
  Detokenizer detokenizer(DemoTokenizer().get(), prompt, false);
  EXPECT_EQ(detokenizer.Feed(2), "");
  EXPECT_EQ(detokenizer.Feed(1 << 20), "");
  EXPECT_EQ(detokenizer.Feed(497), " there");
}

TEST(DetokenizerTest, WithoutATokenizerThereIsNoText) {
  const std::vector<int> prompt = {1, 497};
  Detokenizer detokenizer(nullptr, prompt, false);
  EXPECT_EQ(Stream(detokenizer, std::vector<int>{497}), "");
}

TEST(DecodeTextTest, GoldenDecodings) {
  for (const TextVector& golden : GoldenTexts()) {
    EXPECT_EQ(DecodeText(*DemoTokenizer(), golden.token_ids), golden.decoded);
  }
}

}  // namespace
}  // namespace tramontane
