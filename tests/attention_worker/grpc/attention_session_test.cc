#include "attention_worker/grpc/attention_session.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/fakes/fake_attention_client.h"

namespace tramontane {
namespace {

// Not ABORTED, which would ask for the step once more.
TEST(AttentionSessionTest, WhatIsAskedForAfterTheEndIsUnavailable) {
  FakeAttentionClient worker;
  AttentionSession session(&worker, 256);
  session.End();
  v1::AttentionRequest request;
  request.set_request_id(7);
  request.mutable_add_sequence()->set_sequence_id(1);
  const v1::AttentionAnswer answer = session.Handle(request, absl::Now(), absl::OkStatus());
  EXPECT_EQ(answer.request_id(), 7u);
  EXPECT_EQ(answer.status_code(), static_cast<uint32_t>(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace tramontane
