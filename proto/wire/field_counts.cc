#include "proto/wire/field_counts.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tramontane {

using google::protobuf::internal::WireFormatLite;

absl::Status CheckFieldCounts(const grpc::ByteBuffer& bytes, std::span<const FieldLimit> limits) {
  if (!bytes.Valid()) return absl::OkStatus();
  grpc::ByteBuffer read = bytes;  // shares the slices; reading empties it
  grpc::ProtoBufferReader reader(&read);
  google::protobuf::io::CodedInputStream input(&reader);
  input.SetTotalBytesLimit(std::numeric_limits<int>::max());
  std::vector<int64_t> counts(limits.size(), 0);
  for (uint32_t tag = input.ReadTag(); tag != 0; tag = input.ReadTag()) {
    const int number = WireFormatLite::GetTagFieldNumber(tag);
    for (size_t i = 0; i < limits.size(); ++i) counts[i] += limits[i].number == number ? 1 : 0;
    if (!WireFormatLite::SkipField(&input, tag)) break;
  }
  for (size_t i = 0; i < limits.size(); ++i) {
    if (counts[i] <= limits[i].max_entries) continue;
    return absl::InvalidArgumentError(absl::StrCat(std::string(limits[i].name), " has ", counts[i],
                                                   " entries; expected at most ",
                                                   limits[i].max_entries));
  }
  return absl::OkStatus();
}

}  // namespace tramontane
