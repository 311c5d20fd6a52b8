#include "attention_worker/grpc/worker_channel.h"

#include <grpc/grpc.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "proto/wire/transport.h"

namespace tramontane {

std::shared_ptr<grpc::Channel> CreateWorkerChannel(const std::string& address,
                                                   int64_t max_message_bytes, const TlsClient& tls,
                                                   const SignsOfLife& signs_of_life) {
  const int max_message =
      static_cast<int>(std::min<int64_t>(max_message_bytes, std::numeric_limits<int>::max()));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(max_message);
  arguments.SetMaxSendMessageSize(max_message);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  arguments.SetInt(GRPC_ARG_TCP_READ_CHUNK_SIZE, kLeastReadBytes);
  arguments.SetInt(GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, kLeastReadBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(signs_of_life.ask_after)));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   static_cast<int>(absl::ToInt64Milliseconds(signs_of_life.give_up_after)));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A worker's answers are not compressed, and one that is would be inflated without a bound.
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE);
  arguments.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  // gRPC's own retries would keep what was sent; the dispatcher and the scheduler retry better.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Never through an HTTP proxy of the environment.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return tls.NewChannel(address, std::move(arguments));
}

}  // namespace tramontane
