        for (int y = 0; y < ${NAME}_HEIGHT; y += 8, Serial.println())
            for (int x = 0; x < ${NAME}_WIDTH; x += 4)
                Serial.print(classes[y * ${NAME}_WIDTH + x]);
