// Vocabulary entries in one arena with a hash index over them.
#include "core/huggingface/bpe_vocabulary.h"

#include <functional>

#include "core/huggingface/bpe_alphabet.h"

namespace postnas {

std::string_view BpeVocabulary::token(std::int32_t id) const
{
    if (!contains(id))
        return {};
    const Entry& e = m_entries[static_cast<std::size_t>(id)];
    return std::string_view(m_text).substr(e.token, e.tokenLength);
}

std::string_view BpeVocabulary::bytes(std::int32_t id) const
{
    if (!contains(id))
        return {};
    const Entry& e = m_entries[static_cast<std::size_t>(id)];
    return std::string_view(m_text).substr(e.bytes, e.bytesLength);
}

std::size_t BpeVocabulary::slotOf(std::string_view token) const
{
    const std::size_t mask = m_slots.size() - 1;
    std::size_t slot = std::hash<std::string_view> {}(token) & mask;
    while (m_slots[slot] >= 0 && this->token(m_slots[slot]) != token)
        slot = (slot + 1) & mask;
    return slot;
}

std::int32_t BpeVocabulary::find(std::string_view token) const
{
    return m_slots.empty() ? -1 : m_slots[slotOf(token)];
}

void BpeVocabulary::grow()
{
    const std::vector<std::int32_t> old = std::move(m_slots);
    m_slots.assign(old.empty() ? 1024 : old.size() * 2, -1);
    for (const std::int32_t id : old)
        if (id >= 0)
            m_slots[slotOf(token(id))] = id;
}

BpeVocabulary::Insertion BpeVocabulary::insert(std::string_view token, std::int32_t id)
{
    if ((m_size + 1) * 2 > m_slots.size())
        grow();
    const std::size_t slot = slotOf(token);
    if (m_slots[slot] >= 0)
        return Insertion::DuplicateToken;
    if (contains(id))
        return Insertion::DuplicateId;
    if (id >= endId())
        m_entries.resize(static_cast<std::size_t>(id) + 1);
    Entry& e = m_entries[static_cast<std::size_t>(id)];
    e.used = true;
    e.token = m_text.size();
    e.tokenLength = static_cast<std::uint32_t>(token.size());
    m_text += token;
    const auto bytes = alphabetToBytes(token);
    e.bytes = bytes ? m_text.size() : e.token;
    e.bytesLength = bytes ? static_cast<std::uint32_t>(bytes->size()) : e.tokenLength;
    if (bytes)
        m_text += *bytes;
    m_slots[slot] = id;
    ++m_size;
    return Insertion::Done;
}

} // namespace postnas
