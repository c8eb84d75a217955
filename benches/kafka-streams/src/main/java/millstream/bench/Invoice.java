package millstream.bench;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.math.BigDecimal;

/** One invoice of the input topic; the amount is a decimal in a string, never a float. */
public record Invoice(
        String number,
        String client,
        @JsonFormat(shape = JsonFormat.Shape.STRING) BigDecimal amount,
        String currency,
        @JsonProperty("issued_at") String issuedAt) {}
