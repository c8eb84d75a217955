package millstream.bench;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.math.BigDecimal;

/** A running total of invoice-totals; {@code from} and {@code to} are there for windows only. */
@JsonPropertyOrder({"from", "to", "total", "count", "currency"})
@JsonInclude(JsonInclude.Include.NON_NULL)
public record Total(
        String from,
        String to,
        @JsonFormat(shape = JsonFormat.Shape.STRING) BigDecimal total,
        long count,
        String currency) {
    static final Total ZERO = new Total(null, null, BigDecimal.ZERO, 0, "EUR");

    Total plus(BigDecimal amount) {
        return new Total(null, null, total.add(amount), count + 1, currency);
    }

    Total within(String from, String to) {
        return new Total(from, to, total, count, currency);
    }
}
