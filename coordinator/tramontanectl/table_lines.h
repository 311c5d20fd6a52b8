// Rows of cells as lines of text.
#ifndef TRAMONTANE_COORDINATOR_TRAMONTANECTL_TABLE_LINES_H_
#define TRAMONTANE_COORDINATOR_TRAMONTANECTL_TABLE_LINES_H_

#include <string>
#include <vector>

namespace tramontane {

using TableRow = std::vector<std::string>;

// Columns as wide as their widest cell, two spaces apart and before the first. All rows have as
// many cells as the first one; there is one.
std::string TableLines(const std::vector<TableRow>& rows);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_TRAMONTANECTL_TABLE_LINES_H_
