// The entries of a byte-level vocabulary: text in the byte alphabet, id, and the bytes it stands for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postnas {

/// Ids may leave holes. Views stay valid as long as nothing is inserted.
class BpeVocabulary {
public:
    static constexpr std::int32_t kMaxId = (2 << 20) - 1;

    enum class Insertion { Done, DuplicateToken, DuplicateId };
    /// `id` must be in [0, kMaxId].
    Insertion insert(std::string_view token, std::int32_t id);

    /// Id of a token as the file writes it, or -1.
    std::int32_t find(std::string_view token) const;
    bool contains(std::int32_t id) const
    {
        return id >= 0 && id < endId() && m_entries[static_cast<std::size_t>(id)].used;
    }
    std::string_view token(std::int32_t id) const; ///< as the file writes it; empty for a hole
    std::string_view bytes(std::int32_t id) const; ///< what it stands for in a text; empty for a hole
    std::int32_t endId() const { return static_cast<std::int32_t>(m_entries.size()); } ///< largest id + 1
    std::size_t size() const { return m_size; }

private:
    struct Entry {
        std::uint64_t token = 0; ///< offsets into m_text
        std::uint64_t bytes = 0;
        std::uint32_t tokenLength = 0;
        std::uint32_t bytesLength = 0;
        bool used = false;
    };
    std::size_t slotOf(std::string_view token) const;
    void grow();

    std::string m_text;
    std::vector<Entry> m_entries;
    std::vector<std::int32_t> m_slots; ///< open addressing, -1 is free
    std::size_t m_size = 0;
};

} // namespace postnas
